"""The bytes that an instruction of XLA moves between the chip and its main memory (HBM).

The convention, for an instruction that a device runs by itself:

- It reads each of its operands once and writes its results once, as they lie in memory: with the tiles of a TPU's
  layout filled up. What a fusion computes on the way moves nothing.
- Only what lies in the main memory counts, space 0 of the layout. A TPU's text puts what fits into the memory on the
  chip, such as the vector memory, `S(1)`; a copy from or to there counts on the side of the main memory alone.
- Parameters, constants, tuples and their elements, and bitcasts move nothing, nor does an operand that comes out as it
  went in. Of an asynchronous pair only the start counts.
- Of a slice or gather what is taken counts, once read and once written; of a dynamic-update-slice or scatter what is
  put in, read and written, for the rest stays where it is. The same inside a fusion: of a parameter that only slices
  and gathers read, what they take, and of a root that updates a parameter, what it puts in.
- A constant inside a fusion is read too, unless it is a scalar.

So it is the least that the program as compiled can move: a convolution that reads its input again for each tile of its
output moves more, and a CPU keeps in its caches much of what is counted here.
XLA's own "bytes accessed" is another number. It counts what lies on the chip like what lies in the main memory, both
halves of asynchronous pairs, the tables of pointers of tuples, an operand as often as it is named, and a fused slice
for each use.
"""

from collections.abc import Iterable, Iterator

from gen_jax.preflight.hlo import CALLS, Computation, Instruction, Module
from gen_jax.preflight.shapes import Leaf

FREE = frozenset(
    {
        *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "add-dependency"),
        *("partition-id", "replica-id", "opt-barrier", "domain", "get-dimension-size", "async-update"),
    }
)
"""Moves nothing."""

FREE_CALLS = frozenset(
    {
        *("AssumeGatherIndicesInBound", "ConcatBitcast", "AsyncCollectiveStart", "AsyncCollectiveDone", "Sharding"),
        *("SPMDFullToShardShape", "SPMDShardToFullShape", "AllocateBuffer"),
    }
)
"""Custom calls that say something to the compiler, or name memory, and move nothing."""

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)

SLICES = ("slice", "dynamic-slice", "gather")
_VIEWS = ("bitcast", "reshape")


class Traffic:
    """Counts the bytes of instructions of a module."""

    def __init__(self, module: Module):
        self.module = module

    def of(self, computation: Computation, line: Instruction) -> int:
        """One run of an instruction; nothing for loops, calls and conditionals, whose insides run by themselves."""
        opcode = line.opcode
        if opcode in FREE or opcode.endswith("-done"):
            return 0
        if opcode in ("while", "conditional", *CALLS):
            return 0
        if opcode == "custom-call" and line.attribute("custom_call_target") in FREE_CALLS:
            return 0
        operands = list(dict.fromkeys(computation.operands(line)))
        if opcode == "fusion":
            return self._fusion(computation, line)
        base, results = opcode.removesuffix("-start"), results_of(line)
        if base in SLICES:
            taken = sum(leaf.stored_bytes for leaf in results)
            source, *indices = operands
            return taken * in_memory(source) + moved(results) + moved(_leaves(indices))
        if base == "dynamic-update-slice":
            target, update, *_ = computation.operands(line)
            return moved(_leaves(operands[1:])) + put(update.shape.leaves, target.shape.leaves)
        if base == "scatter":
            return moved(_leaves(operands[1:])) + 2 * put(operands[-1].shape.leaves, line.shape.leaves)
        return moved(_leaves(operands)) + moved(results)

    def _fusion(self, computation: Computation, line: Instruction) -> int:
        fused = self.module.computations[line.called[0]]
        operands = computation.operands(line)
        read = sum(
            self._read(fused, parameter, operand.shape.leaves)
            for parameter, operand in zip(fused.parameters, operands, strict=True)
        )
        constants = (each for each in fused.instructions.values() if each.opcode == "constant")
        read += moved(leaf for each in constants for leaf in each.shape.leaves if leaf.elements > 1)
        root = fused.instructions[fused.root]
        if root.opcode != "tuple":
            return read + self._written(fused, root, line.shape.leaves)
        results = zip(fused.operands(root), line.shape.parts, strict=True)
        return read + sum(self._written(fused, each, shape.leaves) for each, shape in results)

    def _read(self, fused: Computation, parameter: Instruction, leaves: tuple[Leaf, ...]) -> int:
        """Of a parameter of a fusion, at most the whole."""
        if not any(leaf.space == 0 for leaf in leaves):
            return 0
        whole = moved(leaves)
        return min(whole, sum(self._taken(fused, parameter, user, whole) for user in fused.users[parameter.name]))

    def _taken(self, fused: Computation, source: Instruction, user: Instruction, whole: int) -> int:
        """Of `source`, the bytes that one instruction in the fusion takes; `whole` for all."""
        if user.opcode in SLICES:
            taken = sum(leaf.stored_bytes for leaf in user.shape.leaves)
            return taken if source.name == user.operands[0] and source.name not in user.operands[1:] else whole
        if user.opcode in ("dynamic-update-slice", "scatter"):
            return 0 if source.name == user.operands[0] and source.name not in user.operands[1:] else whole
        if user.opcode in _VIEWS:
            return self._of_view(fused, user, whole)
        if user.opcode == "fusion":
            inner = self.module.computations[user.called[0]]
            pairs = zip(inner.parameters, user.operands, strict=True)
            parameters = [parameter for parameter, name in pairs if name == source.name]
            taken = sum(self._of_view(inner, each, whole) for each in parameters)
            # A fusion that only looks at it otherwise hands it on.
            if any(self._is_view_of(inner, each) for each in parameters):
                taken += sum(self._taken(fused, user, each, whole) for each in fused.users[user.name])
            return taken
        # Handed through; or read by an exchange that another fusion has started, and whose start was counted.
        if user.opcode == "tuple" or user.opcode in FREE or self._waits(fused, user):
            return 0
        return whole

    def _of_view(self, fused: Computation, view: Instruction, whole: int) -> int:
        """Of a view, or a parameter, what its users take."""
        return sum(self._taken(fused, view, each, whole) for each in fused.users[view.name])

    @staticmethod
    def _is_view_of(fused: Computation, parameter: Instruction) -> bool:
        """Whether a fusion's result is one of its parameters, looked at otherwise."""
        line = fused.instructions[fused.root]
        while line.opcode in _VIEWS:
            line = fused.instructions[line.operands[0]]
        return line is parameter

    def _written(self, fused: Computation, result: Instruction, leaves: tuple[Leaf, ...]) -> int:
        """Of a result of a fusion."""
        source = result
        while source.opcode in _VIEWS:
            source = fused.instructions[source.operands[0]]
        if source.opcode == "parameter" or self._waits(fused, source):
            return 0
        if source.opcode in ("dynamic-update-slice", "scatter"):
            written = fused.instructions[source.operands[1] if source.opcode[0] == "d" else source.operands[-1]]
            # A scatter adds to what is there.
            return put(written.shape.leaves, leaves) * (1 if source.opcode[0] == "d" else 2)
        if source.attribute("custom_call_target") == "AsyncCollectiveStart":
            # The operand, which is handed through, and what it becomes.
            return moved(leaves[1:2])
        return moved(leaves)

    @staticmethod
    def _waits(fused: Computation, line: Instruction) -> bool:
        """Whether it is an exchange that another instruction has started, or its end."""
        if line.opcode == "custom-call":
            return line.attribute("custom_call_target") == "AsyncCollectiveDone"
        return line.opcode in COLLECTIVES and continues(fused, line)


def continues(fused: Computation, line: Instruction) -> bool:
    """Whether a collective in a fusion is one that another fusion has started.

    XLA for TPU runs an exchange beside the arithmetic of fusions: it stands in the fusion that starts it, in those that
    it runs beside, and in the one that waits for it.
    """
    if '"async_collective_fusion_config"' not in line.config:
        return False
    return not any(user.attribute("custom_call_target") == "AsyncCollectiveStart" for user in fused.users[line.name])


def results_of(line: Instruction) -> tuple[Leaf, ...]:
    """The arrays that an instruction writes; of one that starts something, those that are there at its end."""
    parts = line.shape.parts
    if line.opcode == "copy-start":
        return parts[0].leaves
    if line.opcode.endswith("-start") and line.opcode != "all-reduce-start" and len(parts) > 1:
        return parts[1].leaves
    return line.shape.leaves


def moved(leaves: Iterable[Leaf]) -> int:
    """The bytes of those that lie in the main memory."""
    return sum(leaf.stored_bytes for leaf in leaves if leaf.space == 0)


def put(update: Iterable[Leaf], target: tuple[Leaf, ...]) -> int:
    """The bytes of an update, if they go to the main memory."""
    return sum(leaf.stored_bytes for leaf in update) if any(leaf.space == 0 for leaf in target) else 0


def in_memory(line: Instruction) -> bool:
    """Whether an instruction's result lies in the main memory."""
    return any(leaf.space == 0 for leaf in line.shape.leaves)


def _leaves(lines: Iterable[Instruction]) -> Iterator[Leaf]:
    return (leaf for line in lines for leaf in line.shape.leaves)
