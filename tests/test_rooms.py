"""Imports go one way: experiments -> methods -> models and losses; the engine, data and metrics know no method."""

import ast
from pathlib import Path

import pytest

import gen_jax

ROOT = Path(gen_jax.__file__).parent
ROOMS = ("losses", "models", "methods", "samplers", "training", "data", "metrics", "measures", "pages", "preflight")
# What each room may import of gen_jax beside itself.
MAY_IMPORT = {
    "losses": set(),
    "models": set(),
    "samplers": {"losses"},
    "methods": {"losses", "models", "samplers", "training", "data", "errors"},
    "training": {"data", "errors"},
    "data": {"errors"},
    "metrics": {"losses", "models", "training", "data", "errors"},
    "measures": {"metrics", "training", "data", "errors", "run", "protocol"},
    "pages": {"metrics", "errors"},
    "preflight": {"training", "data", "errors", "config", "devices", "experiment", "run", "terminal"},
}


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it, as they are written."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide where they lead"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(modules: set[str]) -> set[str]:
    """The rooms, or files of the top, of gen_jax that modules belong to."""
    parts = [module.split(".") for module in modules]
    return {names[1] for names in parts if names[0] == "gen_jax" and len(names) > 1}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).glob("**/*.py"))


def test_every_room_is_there_and_none_is_new():
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert found == set(ROOMS) == set(MAY_IMPORT)
    assert all(len(files(room)) > 1 for room in ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_what_it_may(room):
    for file in files(room):
        unwanted = rooms_of(imported(file)) - MAY_IMPORT[room] - {room}
        assert not unwanted, f"{file.relative_to(ROOT)} imports {unwanted}"


def test_rules_are_those_of_the_architecture():
    assert all("methods" not in MAY_IMPORT[room] for room in MAY_IMPORT if room != "methods")
    assert not {"losses", "methods", "training"} & MAY_IMPORT["models"]


def test_library_imports_no_experiment_by_name():
    for file in ROOT.glob("**/*.py"):
        assert not any(name.split(".")[0] == "experiments" for name in imported(file)), file


def test_nobody_imports_tensorflow():
    for file in ROOT.glob("**/*.py"):
        assert not any(name.split(".")[0] == "tensorflow" for name in imported(file)), file


def test_a_forbidden_import_would_be_found(tmp_path):
    file = tmp_path / "file.py"
    file.write_text("def late():\n    from gen_jax.methods import vae\n    import experiments.gan\n    import jax\n")
    assert imported(file) == {"gen_jax.methods.vae", "experiments.gan", "jax"}
    assert rooms_of(imported(file)) == {"methods"}
