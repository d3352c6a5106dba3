"""Which experiments are found, of which family they are, and which of them have changed."""

import types

import copies
import held

from gen_jax.methods import gan, normal_prior
from gen_jax.methods.checks import require_size


def experiment(name, **attributes):
    """A module of an experiment that has nothing but what is given."""
    module = types.ModuleType(f"experiments.{name}")
    module.EXPERIMENT = types.SimpleNamespace()
    vars(module).update(attributes)
    return module


def test_a_family_is_what_the_experiment_says():
    said = experiment("new", EXPERIMENT=types.SimpleNamespace(family="flows"), gan=gan)
    assert held.family_of(said) == "flows"


def test_without_a_word_it_is_the_method_that_it_calls_or_else_its_own_name():
    assert held.family_of(experiment("new", gan=gan)) == "gan"
    # A helper of a method's file, and a check, are no method.
    assert held.family_of(experiment("new", prior=normal_prior, check=require_size)) == "new"
    assert held.family_of(experiment("new", EXPERIMENT=types.SimpleNamespace(family="other"), gan=gan)) == "gan"


def test_each_family_is_represented_once_by_its_first():
    families = {"vae": "vae", "wgan_gp": "gan", "gan": "gan", "dcgan": "gan"}
    assert held.representatives(families) == {"vae", "dcgan"}


def test_experiments_are_changed_by_their_own_files_alone():
    files = ["experiments/gan.py", "experiments/old.py", "experiments/deep/vae.py", "gen_jax/methods/vae.py"]
    assert held.changed(["gan", "vae"], files) == {"gan"}


def test_a_change_of_many_is_no_matter_of_a_quick_test():
    names = [f"e{number}" for number in range(held.MOST_CHANGED + 1)]
    files = [f"experiments/{name}.py" for name in names]
    assert held.changed(names, files[:-1]) == set(names[:-1])
    assert held.changed(names, files) == set()


def test_without_git_nothing_counts_as_changed(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert held.changed_files() == []


def test_copies_are_of_all_in_turn_and_say_their_family_and_their_own_command(tmp_path):
    families = {"gan": "gan", "vae": "likelihood"}
    copies.write(["gan", "vae"], families, 9, tmp_path)
    written = {path.stem: path.read_text() for path in tmp_path.glob("*.py")}
    assert sorted(written) == [f"toy_gan_{n:02}" for n in range(5)] + [f"toy_vae_{n:02}" for n in range(4)]
    assert "\n    python -m experiments.toy_gan_03\n" in written["toy_gan_03"]
    assert 'object.__setattr__(EXPERIMENT, "family", "gan")' in written["toy_gan_03"]
    assert 'object.__setattr__(EXPERIMENT, "family", "gan 1")' in written["toy_gan_04"]
