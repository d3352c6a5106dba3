"""Command lines whose flags depend on the run: its options of sampling, and what may be asked of its samples."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

import tyro

from gen_jax.config import flag, kind_of, sampling_fields, shown
from gen_jax.data.field import Field
from gen_jax.errors import ConfigError, nearest
from gen_jax.run.directory import RunDirectory
from gen_jax.run.parts import described_run

T = TypeVar("T")

# Classes and words that the help lists.
MOST_LISTED = 12


class Asked(NamedTuple):
    """What a command line asks of a run.

    Attributes:
      run: its directory.
      options: of its sampling, those that were set.
      given: what is asked of samples.
    """

    run: str
    options: dict[str, Any]
    given: dict[str, str]


def parse_for_run(command: str, kind: type[T], arguments: Sequence[str], *, conditions: bool = True) -> tuple[T, Asked]:
    """Reads a command line `COMMAND RUN --flags`; exits with 0 on --help, which lists the flags of that run.

    Args:
      command: its name.
      kind: a dataclass of the flags that it has for every run; its docstring describes the command.
      arguments: after the command's name.
      conditions: whether what may be asked of samples is a flag too.

    Raises:
      ConfigError: a flag does not apply to the run, or is misspelt; names those that do.
    """
    path = next((one for one in arguments if not one.startswith("-") and RunDirectory(one).config.exists()), None)
    sampling, given = ({}, {}) if path is None else own_flags(path)
    given = given if conditions else {}
    static = [(f.name, _annotated(f), f) for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    of_run = [
        (name, Annotated[type_, tyro.conf.arg(help=help_)], dataclasses.field(default=None))
        for name, (type_, help_) in {**sampling, **given}.items()
    ]
    run = ("run", Annotated[str, tyro.conf.Positional, tyro.conf.arg(help="A run directory.")])
    made = dataclasses.make_dataclass("Flags", [run, *static, *of_run], frozen=True)
    about = inspect.cleandoc(kind.__doc__ or "")
    prog = f"python -m gen_jax {command}"
    found: Any
    found, rest = tyro.cli(made, prog=prog, description=about, args=list(arguments), return_unknown_args=True)
    if rest:
        accepted = [flag(name) for name in (*names_of(kind), *sampling, *given)]
        name = rest[0].partition("=")[0]
        near = nearest(name, accepted)
        raise ConfigError(f"{name} does not apply to {found.run}{near}; accepted: {', '.join(accepted)}")
    values = {field.name: getattr(found, field.name) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]

    def set_of(names: Mapping[str, Any]) -> dict[str, Any]:
        return {name: getattr(found, name) for name in names if getattr(found, name) is not None}

    return kind(**values), Asked(found.run, set_of(sampling), set_of(given))


def names_of(kind: type) -> Iterator[str]:
    """Names of the flags of a dataclass, those of a group of flags among them."""
    for field in dataclasses.fields(kind):
        group = (*get_args(field.type), field.type)[0]
        if dataclasses.is_dataclass(group) and isinstance(group, type):
            yield from names_of(group)
        elif tyro.conf.Suppress not in get_args(field.type):
            yield field.name


def _annotated(field: dataclasses.Field) -> Any:
    """The type of a field with its help; as it is where it has none, which may be a group of flags."""
    help_ = field.metadata.get("help")
    return Annotated[field.type, tyro.conf.arg(help=help_)] if help_ else field.type


def own_flags(path: str) -> tuple[dict[str, tuple[Any, str]], dict[str, tuple[Any, str]]]:
    """The flags of a run, {name: (type, help)}: options of its sampling, and what may be asked of its samples.

    Raises:
      ConfigError: it is no run directory, or its experiment is gone.
    """
    description, game = described_run(path, abstract=True)
    config = description.config
    help_of = documented(type(config))
    options = {}
    for name in sampling_fields(type(config)):
        now = f"The run has {shown(getattr(config, name))}."
        options[name] = (kind_of(type(config), name) | None, f"{help_of.get(name, '')} {now}".strip())
    given = {
        name: (str | None, words(asked.field) + (" (default: drawn)." if asked.draw is not None else "."))
        for name, asked in game.given.items()
    }
    return options, given


def documented(kind: type) -> dict[str, str]:
    """What stands below each field of a dataclass and of those that it inherits from, where its source is there."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__[:-1]):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        except (OSError, TypeError, SyntaxError, ValueError):
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, below in itertools.pairwise(tree.body):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
                found[ast.unparse(field.target)] = str(text.value)
    return found


def words(field: Field) -> str:
    """What may be asked, in words."""
    if field.kind == "label":
        names = field.classes
        more = "" if len(names) <= MOST_LISTED else f", … ({len(names)} in all)"
        return f"A class: {', '.join(names[:MOST_LISTED])}{more}"
    if field.kind == "tokens":
        return f"Up to {field.shape[0]} words"
    if field.kind == "attributes" and field.names is not None:
        return f"With commas between, of {', '.join(field.names[:MOST_LISTED])}"
    return f"Numbers of shape {field.shape}, with commas between"
