"""The file that docs/extending.md shows is complete, short, and works as it says; so do the lines that it counts."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from experiments import dcgan
from gen_jax.data.field import image_fields
from gen_jax.data.info import DataInfo
from gen_jax.experiment import parse

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DIGITS = DataInfo("digits", image_fields((8, 8, 1)), train_size=9, held_out_size=1, fingerprint="f")


def example() -> str:
    """The file that is shown."""
    code = re.search(r"^```python\n(.*?)^```", (ROOT / "docs" / "extending.md").read_text(), re.S | re.M)
    assert code is not None
    return code.group(1)


@pytest.fixture
def lsgan(tmp_path: Path) -> ModuleType:
    """The file, imported."""
    file = tmp_path / "lsgan.py"
    file.write_text(example())
    spec = importlib.util.spec_from_file_location("lsgan", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lsgan"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["lsgan"]


@pytest.mark.slow
def test_new_loss_in_one_file_trains_in_bfloat16_and_samples(tmp_path: Path) -> None:
    (tmp_path / "lsgan.py").write_text(example())

    def run(*arguments: str) -> str:
        cheaply = {"XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
        environment = {**os.environ, **cheaply, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("lsgan.py", "--preset", "tiny", "--precision", "bfloat16")
    assert "samples  runs/lsgan-digits/samples/00000006.png" in said
    assert re.search(r"^devices .* bfloat16, batch 8$", said, re.M)
    run("-m", "gen_jax", "sample", "runs/lsgan-digits", "--n", "4", "--out", "four.png")
    assert (tmp_path / "four.png").read_bytes().startswith(b"\x89PNG")


def test_it_is_short_and_no_copy() -> None:
    assert len(example().splitlines()) <= 30
    assert "optax" not in example()


@pytest.mark.parametrize(("precision", "computes"), [("float32", set()), ("bfloat16", {"bf16"})])
def test_it_computes_in_the_precision_asked_for(lsgan: ModuleType, precision: str, computes: set[str]) -> None:
    config = parse(lsgan.EXPERIMENT, ["--preset", "tiny", "--precision", precision])
    game = lsgan.build(config, DIGITS)
    nets = game.init(jax.random.key(0), {"x": jnp.zeros((1, 8, 8, 1))})
    params, variables = (
        {net: {**tree}.pop("params") for net, tree in nets.items()},
        {net: {name: value for name, value in tree.items() if name != "params"} for net, tree in nets.items()},
    )
    program = jax.make_jaxpr(lambda key: game.sample(params, variables, key, 2))(jax.random.key(0))
    assert set(re.findall(r"bf16", str(program))) == computes
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}


def test_its_loss_is_that_of_the_paper(lsgan: ModuleType) -> None:
    real, fake = jnp.array([1.0, 0.0, 3.0]), jnp.array([0.0, 1.0, -2.0])
    np.testing.assert_allclose(lsgan.least_squares.discriminator(real, fake), [0.0, 1.0, 4.0])
    np.testing.assert_allclose(lsgan.least_squares.generator(fake), [0.5, 0.0, 4.5])


def test_its_options_and_presets_are_those_of_what_it_varies(lsgan: ModuleType) -> None:
    assert lsgan.EXPERIMENT.presets == dcgan.EXPERIMENT.presets
    assert lsgan.EXPERIMENT.name == "lsgan"


def test_a_size_that_it_cannot_make_is_one_line(lsgan: ModuleType, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        gen_jax.main(lsgan.EXPERIMENT, ["--preset", "tiny", "--image-size", "30"])
    assert exit.value.code == 2
    assert capsys.readouterr().err == (
        "error: digits has images of 30x30, which this architecture cannot make; "
        "the nearest that it can: --image-size 32\n"
    )


def test_lines_of_the_experiments_are_as_many_as_it_says() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    names = re.findall(r"`(\w+)`", re.search(r"^\| \| (`vae`.*)$", text, re.M).group(1))
    said = re.search(r"^\| differences \| (.*) \|$", text, re.M).group(1).split(" | ")
    files = [(ROOT / "experiments" / f"{name}.py").read_text() for name in names]
    assert [int(count) for count in said] == [len(file.splitlines()) for file in [*files, example()]]
