"""Imports go one way: experiments -> methods -> models and losses; the engine, data and metrics know no method."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import gen_jax

ROOT = Path(gen_jax.__file__).parent
LOOSE = {"__init__", "__main__", "config", "errors", "experiment", "loaded"}
# What each room may import of gen_jax beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    "losses": set(),
    "kernels": set(),
    "host": set(),
    "models": {"kernels"},
    "samplers": {"losses"},
    "methods": {"losses", "models", "samplers", "training", "data", "config", "errors"},
    "training": {"kernels", "data", "host", "errors"},
    "data": {"host", "errors"},
    "metrics": {"losses", "models", "training", "data", "host", "errors"},
    # A picture goes by the kind of a field.
    "show": {"metrics", "data", "errors"},
    "run": {"metrics", "show", "training", "data", "host", "config", "errors", "experiment"},
    "measures": {"run", "metrics", "training", "data", "errors"},
    "preflight": {"run", "show", "training", "data", "host", "config", "errors", "experiment"},
    "reports": {"loaded", "measures", "run", "metrics", "show", "training", "data", "config", "errors", "experiment"},
    "shell": {
        *("reports", "preflight", "loaded", "measures", "run", "metrics", "show", "training", "data", "host"),
        *("config", "errors", "experiment"),
    },
}
# Files of the top, which are no room.
LOOSE_MAY_IMPORT = {
    "config": {"errors"},
    "errors": set(),
    "experiment": {"training", "data", "config", "errors"},
    "loaded": {"measures", "run", "metrics", "training", "data", "host", "errors"},
}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a program that runs: those that only a type checker sees are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from statements(node)


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it, as they are written."""
    found = set()
    for node in statements(ast.parse(file.read_text())):
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


def file_of(name: str, root: Path = ROOT) -> Path | None:
    """The file of a module or of the module that a name is taken from; None outside of the package."""
    parts = name.split(".")
    if parts[0] != root.name:
        return None
    while parts:
        place = root.parent.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
        parts.pop()
    return None


def graph(root: Path = ROOT) -> dict[Path, set[Path]]:
    """The files of a package, and which others each imports."""
    found = {}
    for file in root.glob("**/*.py"):
        reached = {file_of(name, root) for name in imported(file)}
        found[file] = {other for other in reached if other is not None and other != file}
    return found


def test_every_room_is_there_and_none_is_new():
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert found == set(MAY_IMPORT)
    assert all(len(files(room)) > 1 for room in MAY_IMPORT)


def test_six_files_lie_outside_of_rooms():
    assert {path.stem for path in ROOT.glob("*.py")} == LOOSE


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_what_it_may(room):
    for file in files(room):
        unwanted = rooms_of(imported(file)) - MAY_IMPORT[room] - {room}
        assert not unwanted, f"{file.relative_to(ROOT)} imports {unwanted}"


@pytest.mark.parametrize("name", LOOSE_MAY_IMPORT)
def test_loose_file_imports_only_what_it_may(name):
    assert rooms_of(imported(ROOT / f"{name}.py")) <= LOOSE_MAY_IMPORT[name]


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(graph()).prepare()


def test_a_circle_would_be_found(tmp_path):
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").write_text("")
    (room / "one.py").write_text("from house.room.two import name\n")
    (room / "two.py").write_text("def late():\n    import house.room.one\n")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph(tmp_path / "house")).prepare()
    (room / "two.py").write_text("if TYPE_CHECKING:\n    import house.room.one\n")
    graphlib.TopologicalSorter(graph(tmp_path / "house")).prepare()


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
