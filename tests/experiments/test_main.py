import importlib

import pytest

from experiments import __main__ as listing
from gen_jax.experiment import Experiment


def test_every_experiment_is_a_line_below_its_family(capsys):
    listing.main([])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["NAME", "DATA", "MIN", "PAPER", "METHOD"]
    place = {line.split()[0]: number for number, line in enumerate(lines) if line}
    for name in listing.names():
        experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
        above = [line for line in lines[: place[name]] if line and not line.startswith(" ")]
        assert above[-1] == experiment.family
    assert lines[place["wgan_gp"]].split(maxsplit=4) == [
        *("wgan_gp", "grid25", "3", "1704.00028"),
        "Wasserstein GAN with gradient penalty",
    ]


def test_one_family_can_be_asked_for(capsys):
    listing.main(["diffusion"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["diffusion", "  ddpm  digits  3    2006.11239  Denoising diffusion"]
    assert not any("gan" in line.split() for line in lines)


@pytest.mark.parametrize(
    ("family", "text"),
    [
        (
            "difusion",
            "FAMILY is difusion; accepted: adversarial, diffusion, likelihood, representation; "
            "the nearest is 'diffusion'",
        ),
        ("vae", "vae is an experiment and not a family: python -m experiments.vae"),
    ],
)
def test_a_family_that_there_is_not_is_one_line(capsys, family, text):
    with pytest.raises(SystemExit) as exit:
        listing.main([family])
    assert exit.value.code == 2
    assert capsys.readouterr() == ("", f"error: {text}\n")


def test_a_file_that_defines_no_experiment_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(listing, "names", lambda: ["vae", "gone"])
    with pytest.raises(SystemExit) as exit:
        listing.main([])
    assert exit.value.code == 2
    text = "error: the experiment experiments.gone cannot be loaded: No module named 'experiments.gone'\n"
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("A method (Somebody et al., 2020, arXiv 2001.00001).\n\nMore (of it).", ("A method", "2001.00001")),
        ("A method (Somebody & Other, Science 1999).", ("A method", "Somebody 1999")),
        ("A method.", ("A method", "")),
        ("", ("", "")),
    ],
)
def test_method_and_paper_are_read_from_the_first_line(monkeypatch, first, expected):
    monkeypatch.setattr(Experiment, "module", type("Module", (), {"__doc__": first}))
    assert listing.about(importlib.import_module("experiments.vae").EXPERIMENT) == expected


def test_a_line_is_cut_at_80_columns(monkeypatch):
    monkeypatch.setattr(listing, "about", lambda experiment: ("long " * 40, "2001.00001"))
    assert max(map(len, listing.table())) in (79, 80)
