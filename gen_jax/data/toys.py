"""Points of the plane whose density is known: a ring and a grid of Gaussians, and a Swiss roll.

The ring and the grid are the mode-collapse benchmarks of unrolled GANs (Metz et al. 2017, arXiv:1611.02163) and of
VEEGAN (Srivastava et al. 2017, arXiv:1705.07761). Widths and spacings differ between papers, so ours are stated.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from gen_jax.data.dataset import Dataset, Mixture, Split, fingerprint
from gen_jax.data.field import point_fields

TRAIN_SIZE = 100_000
TEST_SIZE = 10_000
# Fixed, so that every run and every machine learns from the same points, whatever its own seed.
TRAIN_SEED = 0
TEST_SEED = 1


def ring8() -> Dataset:
    """Eight Gaussians of sigma 0.01 evenly on the unit circle."""
    # endpoint=False: 0 and 2 pi are the same point, and with both in there are only seven modes.
    angles = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return _mixture("ring8", Mixture(centres.astype(np.float32), sigma=0.01))


def grid25() -> Dataset:
    """Twenty-five Gaussians of sigma 0.05 on a 5 x 5 grid of spacing 2, centred at the origin."""
    ticks = np.linspace(-4.0, 4.0, 5)
    centres = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(25, 2)
    return _mixture("grid25", Mixture(centres.astype(np.float32), sigma=0.05))


def swissroll() -> Dataset:
    """A spiral of one and a half turns, radius 0.15 pi to 0.45 pi, with Gaussian noise of sigma 0.05."""

    def draw(size: int, seed: int) -> Float32[np.ndarray, "size 2"]:
        rng = np.random.default_rng(seed)
        angle = 1.5 * np.pi * (1.0 + 2.0 * rng.random((size, 1)))
        spiral = 0.1 * angle * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
        return (spiral + 0.05 * rng.standard_normal((size, 2))).astype(np.float32)

    return _points("swissroll", draw, None)


def _mixture(name: str, mixture: Mixture) -> Dataset:
    def draw(size: int, seed: int) -> Float32[np.ndarray, "size 2"]:
        rng = np.random.default_rng(seed)
        means = mixture.centres[rng.integers(len(mixture.centres), size=size)]
        return (means + mixture.sigma * rng.standard_normal((size, 2))).astype(np.float32)

    return _points(name, draw, mixture)


def _points(name: str, draw: Callable[[int, int], np.ndarray], mixture: Mixture | None) -> Dataset:
    return Dataset(
        name=name,
        train=Split(TRAIN_SIZE, {"x": draw(TRAIN_SIZE, TRAIN_SEED)}),
        test=Split(TEST_SIZE, {"x": draw(TEST_SIZE, TEST_SEED)}),
        fields=point_fields(),
        # What the points were drawn from, and not their bits: sines may differ in the last one between machines.
        fingerprint=fingerprint(name, TRAIN_SIZE, TRAIN_SEED, TEST_SIZE, TEST_SEED),
        mixture=mixture,
    )
