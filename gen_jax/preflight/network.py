"""What a chip sends to other slices, over the data-centre network.

The compiler writes a program for each slice, in which an all-reduce over several slices is a reduce-scatter within the
slice, a `send` and a `recv` of each chip's part through the runtime of the hosts (megascale), and an all-gather. So
the sends are what crosses the network. How the hosts exchange what they are sent is not in the program; here it is
taken to be what sends least: 2 (s - 1) / s of the bytes for an all-reduce among s slices, (s - 1) / s for a
reduce-scatter and an all-to-all, s - 1 times the bytes for an all-gather ("How to Scale Your Model", part 3, and for
the network between slices part 5: jax-ml.github.io/scaling-book).
"""

from collections.abc import Callable

from gen_jax.preflight.costs import Analysis

RUNTIME = "xla_megascale_runtime"
FACTORS: dict[str, Callable[[int], float]] = {
    "ALL_REDUCE": lambda slices: 2 * (slices - 1) / slices,
    "REDUCE_SCATTER": lambda slices: (slices - 1) / slices,
    "ALL_TO_ALL": lambda slices: (slices - 1) / slices,
    "ALL_GATHER": lambda slices: slices - 1,
}


def sent_between_slices(analysis: Analysis, slices: int) -> float:
    """Bytes that a device sends to other slices in one run of a program, by the model above.

    Args:
      analysis: of the program.
      slices: how many exchange with each other.
    """
    total = 0.0
    for executed in analysis.instructions:
        line = executed.line
        if line.opcode == "send" and RUNTIME in line.attributes:
            kind = line.attributes.partition('_xla_megascale_transfer_type="')[2].partition('"')[0]
            payload = executed.computation.operands(line)[0].shape
            size = sum(leaf.bytes for leaf in payload.leaves)
            total += size * executed.times * FACTORS.get(kind, lambda slices: 1.0)(slices)
    return total
