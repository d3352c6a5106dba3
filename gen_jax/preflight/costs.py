"""What one run of a compiled program costs a device: its arithmetic and its memory traffic, loops counted rightly.

    costs = analyse(jax.jit(step).lower(*args).compile().as_text())

The program of one device is what the text holds, so the numbers are those of one device of all that share the work.
`execution.py` says what is counted how often, `arithmetic.py` and `traffic.py` what an instruction costs.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from gen_jax.preflight.arithmetic import Arithmetic, Operations
from gen_jax.preflight.execution import Executed, Execution, execution
from gen_jax.preflight.hlo import Module, parse
from gen_jax.preflight.traffic import COLLECTIVES, FREE_CALLS, Traffic

KINDS = ("convolution", "dot", *COLLECTIVES, "reduce", "gather", "scatter", "dynamic-update-slice")
"""What a fusion is said to do: the first of these that is in it."""


@dataclass(frozen=True)
class Costs:
    """Of one run of a program, on one device.

    Attributes:
      flops: floating-point operations, transcendental functions not among them.
      matrix_flops: those of them that matrix products and convolutions make, the work of a matrix unit.
      bytes: moved from and to the main memory.
      unknown_loops: loops of which nothing in the text says how often they go round, counted as one round: the names of
        where they come from.
      custom_calls: what is called from outside XLA; of it only the bytes are known, and of the operations nothing.
    """

    flops: int
    matrix_flops: int
    bytes: int
    unknown_loops: tuple[str, ...] = ()
    custom_calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Share:
    """The part of the costs that comes from one place.

    Attributes:
      origin: the place.
      flops: as in `Costs`.
      matrix_flops: as in `Costs`.
      bytes: as in `Costs`.
      instructions: how many run, loops counted.
    """

    origin: str
    flops: int
    matrix_flops: int
    bytes: int
    instructions: int


class Analysis:
    """The costs of a program, of which several questions can be asked at the price of one."""

    def __init__(self, text: str, loop: str | None = None):
        """Takes a program apart.

        Args:
          text: what `compiled.as_text()` returns.
          loop: count only what runs in this one of the `unknown_loops`, one round of it; None: the whole program.

        Raises:
          ValueError: that is no such text, or there is no such loop in it.
        """
        self.module: Module = parse(text)
        self.arithmetic, self.traffic = Arithmetic(self.module), Traffic(self.module)
        self.execution: Execution = execution(self.module, self._weight)
        self.instructions = [each for each in self.execution.instructions if loop is None or loop in each.loops]
        if loop is not None and loop not in self.execution.unknown_loops:
            raise ValueError(f"no loop of unknown bound is {loop!r}; there are: {self.execution.unknown_loops}")

    def operations(self, executed: Executed) -> Operations:
        """Of one run of an instruction."""
        return self.arithmetic.of(executed.computation, executed.line)

    def bytes(self, executed: Executed) -> int:
        """Of one run of an instruction."""
        return self.traffic.of(executed.computation, executed.line)

    def costs(self) -> Costs:
        """Of all."""
        total = self.shares(lambda each: "all")
        operations = (total[0].flops, total[0].matrix_flops, total[0].bytes) if total else (0, 0, 0)
        calls = (each.line for each in self.instructions if each.line.opcode == "custom-call")
        targets = {line.attribute("custom_call_target") or "" for line in calls if line.op_name != "online-softmax"}
        return Costs(*operations, self.execution.unknown_loops, tuple(sorted(targets - FREE_CALLS)))

    def by_origin(self, depth: int) -> list[Share]:
        """The costs by where they come from, by the first `depth` parts of `origin`."""
        return self.shares(lambda each: "/".join(self.origin(each)[:depth]))

    def by_kind(self) -> list[Share]:
        """The costs by what is done, such as "convolution" for a convolution and a fusion with one in it."""
        return self.shares(self._kind)

    def shares(self, group: Callable[[Executed], str]) -> list[Share]:
        """The costs by what `group` says of an instruction, those of most bytes first."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for each in self.instructions:
            operations, moved = self.operations(each), self.bytes(each)
            if operations.total or moved:
                total = sums[group(each)]
                for index, cost in enumerate((operations.total, operations.matrix, moved, 1)):
                    total[index] += cost * each.times
        shares = [Share(place, *costs) for place, costs in sums.items()]
        return sorted(shares, key=lambda share: share.bytes, reverse=True)

    def origin(self, executed: Executed) -> list[str]:
        """Where an instruction comes from, the parts of the name that JAX gave it; see `readable`.

        XLA's own copies have no name: they are said to come from where the copied array does, and those of arguments
        and of what a loop carries from "(argument)".
        """
        computation, line = executed.computation, executed.line
        while True:
            name = line.op_name
            if line.opcode == "fusion" and not name:
                fused = self.module.computations[line.called[0]]
                names = (inside.op_name for inside in (fused.instructions[fused.root], *fused.instructions.values()))
                name = next((name for name in names if name), "")
            if line.opcode == "parameter":
                return ["(argument)"]
            if name and (line.opcode != "while" or line is executed.line):
                return readable(name)
            if not line.operands:
                return [f"({executed.line.opcode})"]
            line = computation.instructions[line.operands[0]]

    def _kind(self, executed: Executed) -> str:
        line = executed.line
        if line.opcode != "fusion":
            return line.opcode
        opcodes = {inside.opcode for inside in self.module.computations[line.called[0]].instructions.values()}
        return next((kind for kind in KINDS if kind in opcodes), "elementwise")

    def _weight(self, executed: Executed) -> float:
        return float(self.operations(executed).total + self.bytes(executed))


_WRAPPERS = frozenset(("while", "body", "cond", "closed_call", "checkpoint", "rematted_computation", ""))


def readable(op_name: str) -> list[str]:
    """The parts of an `op_name` without the program's name and what only says how JAX got there.

    "jit(step)/while/body/transpose(jvp(UNet))/Conv_0/add" gives ["transpose(jvp(UNet))", "Conv_0", "add"].
    """
    first, *parts = op_name.split("/")
    return [part for part in parts if part not in _WRAPPERS] or [first]


def analyse(text: str, loop: str | None = None) -> Costs:
    """The costs of what `compiled.as_text()` returns; arguments and errors are those of `Analysis`."""
    return Analysis(text, loop).costs()


def by_origin(text: str, depth: int, loop: str | None = None) -> list[Share]:
    """Where the costs come from: sums over the instructions whose origins begin with the same `depth` parts."""
    return Analysis(text, loop).by_origin(depth)
