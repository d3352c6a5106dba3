"""Shapes as the text of a compiled XLA program has them: with layouts, the tiles of TPUs, and where arrays lie."""

import functools
import math
import re
from dataclasses import dataclass

BITS = {
    **{"pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "bf16": 16, "f16": 16},
    **{"s32": 32, "u32": 32, "f32": 32, "s64": 64, "u64": 64, "f64": 64, "c64": 64, "c128": 128},
    **{"token": 0, "opaque": 0, "f4e2m1fn": 4, "f8e8m0fnu": 8},
}
"""Bits of an element; types that begin with f8 have 8."""


@dataclass(frozen=True)
class Leaf:
    """The shape of an array, and where it lies.

    Attributes:
      dtype: as XLA calls it: "f32", "bf16", "pred", …
      dims: its sizes.
      order: its axes from the one that varies fastest; empty where the text has no layout.
      tiles: of a TPU's layout: the fastest axes are cut into tiles of these sizes, and those again.
      space: where it lies: on a TPU 0 is the HBM, 1 the vector memory on the chip, 5 the host, others small ones.
    """

    dtype: str
    dims: tuple[int, ...]
    order: tuple[int, ...] = ()
    tiles: tuple[tuple[int, ...], ...] = ()
    space: int = 0

    @property
    def elements(self) -> int:
        """How many there are."""
        return math.prod(self.dims)

    @property
    def bits(self) -> int:
        """Of an element. Raises ValueError for a type that is not known."""
        if self.dtype in BITS:
            return BITS[self.dtype]
        if self.dtype.startswith("f8"):
            return 8
        raise ValueError(f"XLA's type {self.dtype!r} is not known")

    @property
    def bytes(self) -> int:
        """Of its elements alone."""
        return self.elements * self.bits // 8

    @property
    def stored_bytes(self) -> int:
        """As it lies in memory: a TPU fills the last tile of each axis up."""
        sizes = [self.dims[axis] for axis in reversed(self.order)] if self.order else list(self.dims)
        for tile in self.tiles:
            sizes = [1] * (len(tile) - len(sizes)) + sizes
            outer, inner = sizes[: len(sizes) - len(tile)], sizes[len(sizes) - len(tile) :]
            sizes = [*outer, *(math.ceil(size / part) for size, part in zip(inner, tile, strict=True)), *tile]
        return math.prod(sizes) * self.bits // 8


@dataclass(frozen=True)
class Shape:
    """An array's shape, or that of a tuple, whose parts may be tuples too.

    Attributes:
      leaf: of an array; None of a tuple.
      parts: of a tuple.
    """

    leaf: Leaf | None
    parts: tuple["Shape", ...] = ()

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """The arrays in it, in order."""
        if self.leaf is not None:
            return (self.leaf,)
        return tuple(leaf for part in self.parts for leaf in part.leaves)


_ARRAY = re.compile(r"(\w+)\[([\d,<= ]*)\](?:\{([^}]*)\})?")


@functools.lru_cache(maxsize=1 << 16)
def parse_leaf(dtype: str, dims: str, layout: str | None) -> Leaf:
    """`f32[8,128]{1,0:T(8,128)S(1)}`, in its three parts."""
    sizes = tuple(int(size.lstrip("<= ")) for size in dims.split(",") if size)
    order, _, rest = (layout or "").partition(":")
    tiled = re.search(r"T((?:\([\d,]+\))+)", rest)
    space = re.search(r"S\((\d+)\)", rest)
    return Leaf(
        dtype,
        sizes,
        tuple(int(axis) for axis in order.split(",") if axis),
        tuple(tuple(map(int, tile.split(","))) for tile in tiled[1][1:-1].split(")(")) if tiled else (),
        int(space[1]) if space else 0,
    )


@functools.lru_cache(maxsize=1 << 16)
def parse_shape(text: str) -> Shape:
    """`f32[8]{0}` or `(f32[8]{0}, (s32[], pred[2]))`. Raises ValueError for anything else."""
    stack: list[list[Shape]] = [[]]
    at = 0
    while at < len(text):
        if text[at] == "(":
            stack.append([])
        elif text[at] == ")" and len(stack) > 1:
            parts = stack.pop()
            stack[-1].append(Shape(None, tuple(parts)))
        elif match := _ARRAY.match(text, at):
            stack[-1].append(Shape(parse_leaf(*match.groups())))
            at = match.end() - 1
        elif text.startswith("/*", at):
            at = text.index("*/", at) + 1
        elif text[at] not in ", ":
            raise ValueError(f"no shape of XLA: {text[:80]!r}")
        at += 1
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"no shape of XLA: {text[:80]!r}")
    return stack[0][0]
