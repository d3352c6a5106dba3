"""What the chips of each TPU generation can do, as their maker publishes it.

Sources: (1) the pages "System architecture" of cloud.google.com/tpu/docs/v4, v5e, v5p, v6e and tpu7x; (2) "How to Scale
Your Model", chapter "How to Think About TPUs", tables of TPU specs (jax-ml.github.io/scaling-book/tpus); (3) what the
TPU compiler names as available when a program does not fit (libtpu 0.0.52).
"""

import math
from dataclasses import dataclass

GIB = 1 << 30

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Chip:
    """A chip, and the pods that are made of it.

    Attributes:
      name: the generation, as topologies are named.
      devices: how many JAX sees in a chip, each with its share of all that follows.
      flops: peak of bfloat16 matrix products, per second (1). Matrix products of float32 have the same peak, for by
        default TPUs take them in one pass of bfloat16.
      hbm: bytes of memory (1).
      usable: bytes of memory that programs may use, per device (3).
      hbm_bandwidth: bytes per second (1).
      link: bytes per second over one link of the interconnect, in one direction (2).
      egress: bytes per second that leave over the data-centre network (2).
      wrapped: axes of the torus whose length is a multiple of this close to a ring (2).
      shapes: slices that are offered (1), except for cubes.
      cubes: the most chips in a slice of 4x4x4 cubes (1); 0: none.
    """

    name: str
    devices: int
    flops: float
    hbm: int
    usable: int
    hbm_bandwidth: float
    link: float
    egress: float
    wrapped: int
    shapes: tuple[Shape, ...]
    cubes: int = 0

    def offers(self, shape: Shape) -> bool:
        """Whether there are slices of that shape: one of `shapes`, or cubes along axes of non-decreasing length."""
        in_cubes = len(shape) == 3 and all(side % 4 == 0 for side in shape) and list(shape) == sorted(shape)
        return shape in self.shapes or (in_cubes and 0 < math.prod(shape) <= self.cubes)

    def outgoing(self, shape: Shape) -> float:
        """Bytes per second that a chip of such a slice sends at most, over all its links at once.

        Along an axis that closes to a ring it has two links, along any other the chips at the ends have one, and
        whatever goes round the whole axis is as slow as those (2).
        """
        closed = self.cubes == 0 or all(side % 4 == 0 for side in shape)
        links = (2 if closed and side % self.wrapped == 0 else 1 for side in shape if side > 1)
        return self.link * sum(links)


FLAT: tuple[Shape, ...] = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
SMALL: tuple[Shape, ...] = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
ONE: tuple[Shape, ...] = ((1, 1, 1),)

CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 1, 275e12, 32 * GIB, int(30.75 * GIB), 1.2e12, 4.5e10, 6.25e9, 4, SMALL, 4096),
        Chip("v5e", 1, 197e12, 16 * GIB, int(15.75 * GIB), 8.19e11, 4.5e10, 3.125e9, 16, FLAT),
        Chip("v5p", 1, 459e12, 95 * GIB, int(95.73 * GIB), 2.765e12, 9e10, 6.25e9, 4, ONE + SMALL, 6144),
        Chip("v6e", 1, 918e12, 32 * GIB, int(31.24 * GIB), 1.638e12, 9e10, 1.25e10, 16, FLAT),
        # Two chiplets, each with a core and half of the memory: frameworks see two devices a chip.
        Chip("tpu7x", 2, 2307e12, 192 * GIB, int(94.74 * GIB), 7.38e12, 9e10, 1.25e10, 4, ONE + SMALL, 9216),
    )
}
