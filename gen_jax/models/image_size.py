"""Which image sizes an architecture that halves or doubles can make, and the nearest one to a size it cannot."""


def doubled_side(size: int) -> int | None:
    """The side from 4 to 7 that becomes `size` by doubling once or more; None where there is none."""
    for side in range(4, 8):
        doublings, rest = divmod(size, side)
        if rest == 0 and doublings > 1 and doublings & (doublings - 1) == 0:
            return side
    return None


def check_doubled(shape: tuple[int, ...]) -> int:
    """The `doubled_side` of square images (size, size, channels); ValueError where the shape has none."""
    side = doubled_side(shape[0])
    if len(shape) != 3 or shape[0] != shape[1] or side is None:
        raise ValueError(f"needs square images (size, size, channels), size 4 to 7 times a power of two; got {shape}")
    return side


def nearest_doubled(size: int) -> int:
    """The nearest size that is a side from 4 to 7 doubled once or more; the larger of two as near."""
    distance = 0
    while True:
        for candidate in (size + distance, size - distance):
            if doubled_side(candidate) is not None:
                return candidate
        distance += 1


def nearest_multiple(size: int, divisor: int) -> int:
    """The positive multiple of `divisor` nearest to size; the larger of two as near."""
    return max(divisor, (size + divisor // 2) // divisor * divisor)
