"""What the devices of a compiled program send each other: every collective, with its bytes and how often it runs."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gen_jax.preflight.costs import Analysis
from gen_jax.preflight.execution import Executed
from gen_jax.preflight.hlo import Computation, Instruction
from gen_jax.preflight.shapes import Leaf
from gen_jax.preflight.traffic import COLLECTIVES, continues, results_of


@dataclass(frozen=True)
class Collective:
    """An exchange between devices, as one of them sees it.

    Attributes:
      kind: "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", …
      bytes: of the whole array that the group exchanges, on one device: what an all-reduce or a reduce-scatter takes
        in, what an all-gather puts out. Of its elements alone, without the filling of tiles.
      group_size: devices that exchange with each other.
      count: how often it runs, loops counted.
      dtype: of the elements; several with a "+" between them.
      arrays: how many XLA has combined into the one exchange.
      origin: where it comes from in the program, such as "transpose(jvp(UNet))/Conv_0"; "(argument)" for what is sent
        before anything is done with it.
    """

    kind: str
    bytes: int
    group_size: int
    count: int
    dtype: str
    arrays: int = 1
    origin: str = ""

    @property
    def wire_bytes(self) -> float:
        """What a device sends, over all its runs, by the algorithms that send least.

        Of S bytes among n devices: 2 (n - 1) / n S for an all-reduce, which is a reduce-scatter and an all-gather;
        (n - 1) / n S for either of these and for an all-to-all; S for a broadcast or a permutation. NVIDIA's
        nccl-tests, doc/PERFORMANCE.md; for rings of TPUs "How To Scale Your Model", part 3. On a ring an all-to-all
        loads the links more than that, because what it sends is passed on.
        """
        return self.bytes * self.count * FACTORS.get(self.kind, one)(self.group_size)


def one(devices: int) -> float:
    """All of it."""
    return 1.0


def all_but_own(devices: int) -> float:
    """The share of the others."""
    return (devices - 1) / devices


def there_and_back(devices: int) -> float:
    """A reduce-scatter and an all-gather."""
    return 2 * (devices - 1) / devices


FACTORS = {
    "all-reduce": there_and_back,
    "all-gather": all_but_own,
    "reduce-scatter": all_but_own,
    "all-to-all": all_but_own,
    "ragged-all-to-all": all_but_own,
}


def collectives(text: str, loop: str | None = None) -> list[Collective]:
    """Every collective that a program runs, in the order in which it stands in the text.

    Args:
      text: what `compiled.as_text()` returns.
      loop: as of `costs.analyse`.

    Raises:
      ValueError: that is no such text.
    """
    return of_analysis(Analysis(text, loop))


def of_analysis(analysis: Analysis) -> list[Collective]:
    """Every collective of a program that is already taken apart."""
    found = []
    for executed in analysis.instructions:
        for computation, line in _exchanges(analysis, executed):
            # Without its last part, the primitive.
            parts = analysis.origin(executed)
            origin = "/".join(parts[:-1] or parts)
            fused = computation is not executed.computation
            found.append(_collective(computation, line, executed.times, analysis.module.devices, origin, fused))
    return [each for each in found if each.group_size > 1]


def _exchanges(analysis: Analysis, executed: Executed) -> Iterator[tuple[Computation, Instruction]]:
    """The collectives that an instruction begins: itself, or those in a fusion."""
    line = executed.line
    if line.opcode.removesuffix("-start") in COLLECTIVES:
        yield executed.computation, line
    elif line.opcode == "fusion":
        fused = analysis.module.computations[line.called[0]]
        for inside in fused.instructions.values():
            if inside.opcode in COLLECTIVES and not continues(fused, inside):
                yield fused, inside


def _collective(
    computation: Computation, line: Instruction, times: int, devices: int, origin: str, fused: bool
) -> Collective:
    kind = line.opcode.removesuffix("-start")
    if kind == "all-reduce" and fused and _is_scattered(computation, line):
        kind = "reduce-scatter"
    taken = [leaf for operand in computation.operands(line) for leaf in operand.shape.leaves]
    given = list(results_of(line))
    whole: list[Leaf] = max(taken, given, key=lambda leaves: sum(leaf.bytes for leaf in leaves))
    return Collective(
        kind,
        sum(leaf.bytes for leaf in whole),
        group_size(line, devices),
        times,
        "+".join(sorted({leaf.dtype for leaf in whole})),
        len(whole),
        origin,
    )


def _is_scattered(fused: Computation, line: Instruction) -> bool:
    """Whether of an all-reduce in a fusion each device keeps its own part alone.

    That is how XLA for TPU writes a reduce-scatter: the whole never comes to be.
    """
    users = list(fused.users[line.name])
    ends = []
    while users:
        user = users.pop()
        if user.opcode in ("get-tuple-element", "bitcast", "reshape"):
            users += fused.users[user.name]
        else:
            ends.append(user.opcode)
    return bool(ends) and set(ends) == {"dynamic-slice"}


def group_size(line: Instruction, devices: int) -> int:
    """How many devices exchange with each other.

    Args:
      line: a collective.
      devices: of the program; they all exchange where the text names no groups.

    XLA writes groups as lists `{{0,1},{2,3}}`, as the shape of an array of devices `[2,4]<=[8]`, or as axes of a mesh
    `mesh['x'=2,'y'=4] {'y'}`, of which a part may be meant, `'y':(1)2`.
    """
    text = line.attributes
    if line.opcode.startswith("collective-permute"):
        pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", text)
        return len(set(re.findall(r"\d+", pairs[1]))) if pairs else 1
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return len(listed[1].split(","))
    if shape := re.search(r"replica_groups=\[([\d,]+)\]<=", text):
        return int(shape[1].split(",")[-1])
    if mesh := re.search(r"replica_groups=mesh\[(.*?)\][^{]*\{(.*?)\}", text):
        sizes = {name: int(size) for name, size in re.findall(r"'?([\w.\-]+)'?=(\d+)", mesh[1])}
        axes = re.findall(r"'([\w.\-]+)'(?::\(\d+\)(\d+))?", mesh[2])
        return math.prod(int(part) if part else sizes[name] for name, part in axes)
    return devices


def merged(found: Iterable[Collective]) -> list[Collective]:
    """Equal ones as one, their counts added; those that send most first."""
    counts: dict[Collective, int] = defaultdict(int)
    for each in found:
        counts[dataclasses.replace(each, count=0)] += each.count
    together = [dataclasses.replace(each, count=count) for each, count in counts.items()]
    return sorted(together, key=lambda each: each.wire_bytes, reverse=True)


@dataclass(frozen=True)
class Total:
    """All collectives of one kind in groups of one size.

    Attributes:
      kind: as in `Collective`.
      group_size: as in `Collective`.
      count: how many run.
      bytes: of the arrays that they exchange.
      wire_bytes: that a device sends.
    """

    kind: str
    group_size: int
    count: int
    bytes: int
    wire_bytes: float


def totals(found: Iterable[Collective]) -> list[Total]:
    """Sums by kind and size of group; those that send most first."""
    groups: dict[tuple[str, int], list[Collective]] = defaultdict(list)
    for each in found:
        groups[each.kind, each.group_size].append(each)
    sums = [
        Total(
            kind,
            size,
            sum(each.count for each in group),
            sum(each.bytes * each.count for each in group),
            sum(each.wire_bytes for each in group),
        )
        for (kind, size), group in groups.items()
    ]
    return sorted(sums, key=lambda total: total.wire_bytes, reverse=True)
