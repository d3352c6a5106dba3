"""Which image sizes an architecture that halves or doubles can make, and the nearest one to a size it cannot."""


def is_power_of_two(size: int) -> bool:
    """Whether size is 1, 2, 4, 8, ..."""
    return size > 0 and size & (size - 1) == 0


def nearest_power_of_two(size: int, minimum: int) -> int:
    """The power of two nearest to size and at least `minimum`, itself a power of two; the larger of two as near."""
    size = max(size, minimum)
    below = 1 << (size.bit_length() - 1)
    return below if size - below < 2 * below - size else 2 * below


def nearest_multiple(size: int, divisor: int) -> int:
    """The positive multiple of `divisor` nearest to size; the larger of two as near."""
    return max(divisor, (size + divisor // 2) // divisor * divisor)
