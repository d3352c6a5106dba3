"""The floating-point operations of an instruction of XLA.

The rules are those of XLA's own count (HloCostAnalysis, openxla/xla, xla/service/hlo_cost_analysis.cc): two for each
multiply-add of a matrix product or convolution, one for each element that arithmetic puts out, integers and comparisons
included, one for each that a reduction takes in beyond what it puts out, and none for transcendental functions, which
it counts apart. It counts no custom call; one of them is counted here, because XLA for TPU makes it out of a matrix
product: `online-softmax`.
"""

import dataclasses
import functools
import math
import re
from dataclasses import dataclass

import numpy as np

from gen_jax.preflight.hlo import Computation, Instruction, Module
from gen_jax.preflight.shapes import Leaf

ARITHMETIC = frozenset(
    {
        *("abs", "add", "and", "ceil", "clamp", "compare", "convert", "count-leading-zeros", "divide", "floor"),
        *("is-finite", "maximum", "minimum", "mulhi", "multiply", "negate", "not", "or", "popcnt"),
        *("reduce-precision", "remainder", "round-nearest-afz", "round-nearest-even", "select", "shift-left"),
        *("shift-right-arithmetic", "shift-right-logical", "sign", "subtract", "xor", "all-reduce"),
        *("all-reduce-start"),
    }
)
"""One operation for each element of the result."""


@dataclass(frozen=True)
class Operations:
    """How many floating-point operations.

    Attributes:
      total: all of them.
      matrix: those of them that are products and sums of matrix products and convolutions.
    """

    total: int = 0
    matrix: int = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(self.total + other.total, self.matrix + other.matrix)

    def __mul__(self, times: int) -> "Operations":
        return Operations(self.total * times, self.matrix * times)


class Arithmetic:
    """Counts the operations of instructions of a module, what fusions and reductions run included."""

    def __init__(self, module: Module):
        self.module = module
        self._known: dict[str, Operations] = {}

    def of_computation(self, name: str) -> Operations:
        """One run of a computation of arithmetic, fusions and reductions."""
        if name not in self._known:
            computation = self.module.computations[name]
            lines = computation.instructions.values()
            self._known[name] = sum((self.of(computation, line) for line in lines), Operations())
        return self._known[name]

    def of(self, computation: Computation, line: Instruction) -> Operations:
        """One run of an instruction; nothing for loops, calls and conditionals, whose insides run by themselves."""
        opcode = line.opcode
        if opcode in ARITHMETIC:
            return Operations(sum(leaf.elements for leaf in line.shape.leaves))
        if opcode == "fusion":
            return self.of_computation(line.called[0])
        if opcode in ("dot", "convolution"):
            lhs, rhs = (operand.shape.leaves[0] for operand in computation.operands(line)[:2])
            count = dot if opcode == "dot" else convolution
            return Operations(*[2 * count(line, lhs, rhs)] * 2)
        if opcode in ("reduce", "reduce-window", "scatter", "map", "select-and-scatter"):
            return self._applied(computation, line)
        if opcode == "sort":
            elements = computation.operands(line)[0].shape.leaves[0].elements
            return Operations(elements * max(elements - 1, 0).bit_length())
        if opcode == "custom-call" and line.op_name == "online-softmax":
            scores, values = (operand.shape.leaves[0] for operand in computation.operands(line)[:2])
            return Operations(*[2 * scores.elements * values.dims[-1]] * 2)
        return Operations()

    def _applied(self, computation: Computation, line: Instruction) -> Operations:
        """A computation of scalars, as often as it is applied."""
        operands = [operand.shape.leaves[0] for operand in computation.operands(line)]
        result = line.shape.leaves[0].elements
        window = math.prod(size.size for size in parse_window(line.attribute("window")))
        if line.opcode == "select-and-scatter":
            source = operands[1].elements
            applied = {line.attribute("select"): source * (window - 1), line.attribute("scatter"): source}
        else:
            times = {
                "reduce": operands[0].elements - result,
                "reduce-window": (window - 1) * result,
                "scatter": operands[-1].elements,
                "map": result,
            }
            applied = {line.called[0]: times[line.opcode]}
        return sum((self.of_computation(name) * times for name, times in applied.items() if name), Operations())


def dot(line: Instruction, lhs: Leaf, rhs: Leaf) -> int:
    """Multiply-adds of a matrix product."""
    contracted = math.prod(lhs.dims[axis] for axis in line.numbers("lhs_contracting_dims"))
    return line.shape.leaves[0].elements * contracted


@dataclass(frozen=True)
class Window:
    """How a convolution or a pooling steps along one axis. All as in XLA's documentation of convolutions."""

    size: int
    stride: int = 1
    low: int = 0
    high: int = 0
    lhs_dilate: int = 1
    rhs_dilate: int = 1


def parse_window(text: str | None) -> tuple[Window, ...]:
    """`size=4x4 stride=2x2 pad=1_1x1_1 lhs_dilate=2x2`, an axis a part; empty for None."""
    fields = dict(re.findall(r"(\w+)=(\S+)", text or ""))
    columns = {name: value.split("x") for name, value in fields.items()}
    windows = []
    for axis, size in enumerate(columns.get("size", [])):
        window = Window(int(size))
        for name in ("stride", "lhs_dilate", "rhs_dilate"):
            if name in columns:
                window = dataclasses.replace(window, **{name: int(columns[name][axis])})
        if "pad" in columns:
            low, _, high = columns["pad"][axis].partition("_")
            window = dataclasses.replace(window, low=int(low), high=int(high or low))
        windows.append(window)
    return tuple(windows)


@functools.lru_cache(maxsize=1 << 14)
def valid_positions(window: Window, size_in: int, size_out: int) -> int:
    """Pairs (place in the window, place in the result) at which a number of the input is met.

    Not zeros of the padding, nor those between the numbers of an input that is dilated.
    """
    places = np.arange(size_out) * window.stride - window.low
    count = 0
    for tap in range(window.size):
        met = places + tap * window.rhs_dilate
        count += int(((met >= 0) & (met <= (size_in - 1) * window.lhs_dilate) & (met % window.lhs_dilate == 0)).sum())
    return count


def convolution(line: Instruction, lhs: Leaf, rhs: Leaf) -> int:
    """Multiply-adds of a convolution, those with zeros of padding and dilation left out."""
    inputs, _, result = re.split("_|->", line.attribute("dim_labels") or "")
    out = line.shape.leaves[0]
    groups = int(line.attribute("feature_group_count") or 1)
    batch_groups = int(line.attribute("batch_group_count") or 1)
    count = lhs.dims[inputs.index("f")] // groups * out.dims[result.index("f")]
    count *= lhs.dims[inputs.index("b")] // batch_groups
    for axis, window in enumerate(parse_window(line.attribute("window"))):
        count *= valid_positions(window, lhs.dims[inputs.index(str(axis))], out.dims[result.index(str(axis))])
    return count
