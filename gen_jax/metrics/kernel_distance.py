"""The kernel distance between two sets of features: of Inception's, KID."""

import math
from dataclasses import dataclass

import numpy as np

from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and how sure it is.

    Attributes:
      value: the mean over subsets; unbiased, so it may be below 0 where the distributions agree.
      deviation: standard deviation over subsets, which published tables and torch-fidelity write behind a plus-minus.
        It tells how much one subset of that size varies, and grows smaller with neither more samples nor more subsets.
      standard_error: of `value`, over draws of both sets of samples and of the subsets: what a distance drawn again
        would vary by. Larger than that, up to sqrt((n + subset_size) / subset_size) times, where the distributions are
        the same. NaN where it cannot be told: one subset, or subsets that hold all of the smaller set.
      subsets, subset_size: how it was estimated.
    """

    value: float
    deviation: float
    standard_error: float
    subsets: int
    subset_size: int

    @property
    def interval(self) -> tuple[float, float]:
        """A 95% interval of the distance, as of a normal distribution; of NaNs where there is no standard error."""
        return self.value - 1.96 * self.standard_error, self.value + 1.96 * self.standard_error


def kernel_distance(
    a: np.ndarray, b: np.ndarray, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Squared maximum mean discrepancy with the kernel (x . y / d + 1)^3, averaged over random subsets.

    Bińkowski et al., arXiv 1801.01401; of features of Inception-v3: "KID". 100 subsets of 1,000 are what
    they take (section 5), and torch-fidelity; a subset is drawn without replacement, from each set for itself.

    The standard error is that of the jackknife that leaves out all but subset_size of n examples (Shao and Wu, "A
    General Theory for Jackknife Variance Estimation", 1989): subsets of one set overlap, so that their values vary by
    (n - subset_size) / subset_size of the variance of the whole; and their mean by 1 / subsets of their own besides.

    Args:
      a, b: features (n, d) and (m, d); the order does not matter, but for the subsets that the seed draws.
      subsets: how many.
      subset_size: examples of each set in each, at least 2.
      seed: of the subsets; the same gives the same number.

    Raises:
      ConfigError: a set has fewer examples than a subset, or the dimensions differ.
    """
    if subsets < 1:
        raise ConfigError(f"subsets is {subsets}; accepted: a number of at least 1")
    if subset_size < 2:
        raise ConfigError(f"subset_size is {subset_size}; accepted: a number of at least 2")
    if a.shape[1:] != b.shape[1:]:
        raise ConfigError(f"features of the shapes {a.shape[1:]} and {b.shape[1:]} cannot be compared")
    fewest = min(len(a), len(b))
    if fewest < subset_size:
        raise ConfigError(f"there are {fewest} samples; subsets of {subset_size} need at least as many")
    generator = np.random.default_rng(seed)
    found = np.empty(subsets)
    for index in range(subsets):
        drawn_a = generator.choice(len(a), subset_size, replace=False)
        drawn_b = generator.choice(len(b), subset_size, replace=False)
        found[index] = squared_mmd(a[drawn_a], b[drawn_b])
    deviation = found.std(ddof=1) if subsets > 1 else math.nan
    left_out = fewest - subset_size
    share = subset_size / left_out + 1 / subsets if left_out > 0 else math.nan
    return KernelDistance(float(found.mean()), float(deviation), float(deviation * share**0.5), subsets, subset_size)


def squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared MMD of two sets (n, d) and (m, d): Gretton et al., JMLR 2012, eq. 3."""
    a, b = _augmented(a), _augmented(b)
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _own_kernels(a).sum()) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _own_kernels(b).sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (n * m))


def _augmented(features: np.ndarray) -> np.ndarray:
    """Rows (n, d + 1) whose products are x . y / d + 1; in float64, for the three means differ in their last digits."""
    n, d = features.shape
    return np.concatenate([features.astype(np.float64) / np.sqrt(d), np.ones((n, 1))], axis=1)


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    """The sum over all pairs."""
    products = a @ b.T
    return float(np.einsum("nm,nm,nm->", products, products, products))


def _own_kernels(a: np.ndarray) -> np.ndarray:
    """(n,): of each row with itself."""
    return np.einsum("nd,nd->n", a, a) ** 3
