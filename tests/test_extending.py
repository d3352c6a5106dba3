"""The file that docs/extending.md shows is complete, short, and works as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_new_loss_in_one_file_trains_and_samples(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    code = re.search(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert code is not None
    (tmp_path / "lsgan.py").write_text(code.group(1))
    assert len(code.group(1).splitlines()) < 60

    def run(*arguments: str) -> str:
        cheaply = {"XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
        environment = {**os.environ, **cheaply, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "samples  runs/lsgan-digits/samples/00000006.png" in run("lsgan.py", "--preset", "tiny")
    run("-m", "gen_jax", "sample", "runs/lsgan-digits", "--n", "4", "--out", "four.png")
    assert (tmp_path / "four.png").read_bytes().startswith(b"\x89PNG")
