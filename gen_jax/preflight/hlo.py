"""The text of a compiled XLA program, taken apart: computations and their instructions.

What `jax.jit(f).lower(...).compile().as_text()` prints, on CPU and for TPU: a computation in braces after a line with
its name, an instruction a line, `%name = SHAPE opcode(%operand, ...), attribute=..., metadata={...}`.
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gen_jax.preflight.shapes import Shape, parse_shape

CALLS = ("call", "call-start", "async-start")
"""Runs a computation as it stands: at once, on another unit of the chip (a SparseCore of tpu7x), or beside others."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in its computation.
      opcode: "add", "fusion", "all-gather-start", …
      shape_text: of its result; see `shape`.
      operands: the names of the instructions that it reads, in the same computation.
      literal: what stands in its parentheses: the value of a constant, the number of a parameter.
      attributes: the rest of the line, without `config`.
      config: the `backend_config`, as JSON; empty where there is none.
    """

    name: str
    opcode: str
    shape_text: str
    operands: tuple[str, ...]
    literal: str
    attributes: str
    config: str

    @property
    def shape(self) -> Shape:
        """Of its result."""
        return parse_shape(self.shape_text)

    def attribute(self, name: str) -> str | None:
        """The value of an attribute, without the braces, quotes or the % around it; None where there is none."""
        found = _attribute(name).search(self.attributes)
        if found is None:
            return None
        return next(value for value in found.groups() if value is not None)

    def numbers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of numbers, {0,2}; empty where there is none."""
        return tuple(int(number) for number in re.findall(r"-?\d+", self.attribute(name) or ""))

    @property
    def called(self) -> tuple[str, ...]:
        """The computation that a fusion, a call, a reduction or an asynchronous operation runs."""
        names = self.attribute("calls") or self.attribute("to_apply")
        return () if names is None else tuple(name.strip().lstrip("%") for name in names.split(","))

    @property
    def op_name(self) -> str:
        """Where it comes from in the Python program, such as "jit(step)/jvp(UNet)/Conv_0/…"; empty if not known."""
        found = _OP_NAME.search(self.attributes)
        return found[1].replace('\\"', '"') if found else ""


_OP_NAME = re.compile(r'metadata=\{[^}]*?op_name="((?:[^"\\]|\\.)*)"')


@functools.cache
def _attribute(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?:^|, ){name}=(?:\{{([^}}]*)\}}|"([^"]*)"|%?([^\s,{{}}]+))')


@dataclass(frozen=True)
class Computation:
    """A function of XLA.

    Attributes:
      name: unique in its module.
      instructions: by name, each after those that it reads.
      root: the name of the one whose result is the computation's.
    """

    name: str
    instructions: Mapping[str, Instruction]
    root: str

    @functools.cached_property
    def parameters(self) -> tuple[Instruction, ...]:
        """In the order of the arguments."""
        found = [line for line in self.instructions.values() if line.opcode == "parameter"]
        return tuple(sorted(found, key=lambda line: int(line.literal)))

    @functools.cached_property
    def users(self) -> Mapping[str, tuple[Instruction, ...]]:
        """The instructions that read each one."""
        found: dict[str, list[Instruction]] = {name: [] for name in self.instructions}
        for line in self.instructions.values():
            for operand in dict.fromkeys(line.operands):
                found[operand].append(line)
        return {name: tuple(lines) for name, lines in found.items()}

    def operands(self, line: Instruction) -> tuple[Instruction, ...]:
        """The instructions that one reads."""
        return tuple(self.instructions[name] for name in line.operands)


@dataclass(frozen=True)
class Module:
    """A compiled program, as it runs on one device.

    Attributes:
      computations: by name.
      entry: the name of the one that is the program.
      devices: that run it together.
    """

    computations: Mapping[str, Computation]
    entry: str
    devices: int = 1


_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) (?:\(.*)?\{$")
_LINE = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([a-z][\w\-]*)\((.*)$")
_OPERAND = re.compile(r"%([\w.\-]+)")


def parse(text: str) -> Module:
    """Takes the text of an optimised HLO module apart.

    Raises:
      ValueError: there is no entry computation in it, or a line that is not understood.
    """
    computations: dict[str, Computation] = {}
    entry = name = root = None
    lines: dict[str, Instruction] = {}
    for line in text.splitlines():
        if name is None:
            header = _HEADER.match(line) if line.endswith("{") else None
            if header and not line.startswith("HloModule"):
                name, root, lines = header[2], None, {}
                entry = name if header[1] else entry
        elif line.startswith("}"):
            if not lines:
                raise ValueError(f"the computation {name!r} is empty")
            computations[name] = Computation(name, lines, root or next(reversed(lines)))
            name = None
        elif line.strip():
            parsed, is_root = _instruction(line)
            lines[parsed.name] = parsed
            root = parsed.name if is_root else root
    if entry is None or entry not in computations:
        raise ValueError("no program of XLA: there is no ENTRY computation")
    head = text[: text.find("\n")]
    counts = [int(count) for count in re.findall(r"(?:num_partitions|replica_count)=(\d+)", head)]
    return Module(computations, entry, math.prod(counts))


def _instruction(line: str) -> tuple[Instruction, bool]:
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f"no instruction of XLA: {line.strip()[:120]!r}")
    is_root, name, shape, opcode, rest = match.groups()
    end = _closing(rest)
    inside, attributes = rest[:end], rest[end + 1 :].removeprefix(", ")
    attributes, _, config = attributes.partition("backend_config=")
    operands = () if opcode in ("constant", "parameter") else tuple(_OPERAND.findall(inside))
    literal = "" if operands else inside
    return Instruction(name, opcode, shape, operands, literal, attributes.rstrip(", "), config), bool(is_root)


def _closing(text: str) -> int:
    """Where the parenthesis ends that was opened before `text`."""
    end = text.find(")")
    if "(" not in text[:end]:
        return end
    depth = 1
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return at
    raise ValueError(f"no instruction of XLA: {text[:120]!r}")
