"""HYPE: how well people tell generated images from real ones. The staircase that asks, and statistics of the answers.

Zhou et al., "HYPE: A Benchmark for Human eYe Perceptual Evaluation of Generative Models", NeurIPS 2019,
arXiv:1904.01121. HYPE-infinity is the share of wrong answers without a limit of time (section 2.2), HYPE-time the
exposure in milliseconds below which people begin to err (section 2.1). The paper's intervals are a bootstrap over
evaluators (section 3). Those of one person's answers, `wilson` and `hype_time_interval`, are this project's own. The
page on which people answer computes what concerns one of them itself: functions of one name here and in
`pages/hype_score.js` are one function, to the bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000  # of a bootstrap: section 3
Z = 1.959964  # the normal distribution's 97.5% point

Interval = tuple[float, float]


@dataclass(frozen=True)
class Staircase:
    """How long the next image is shown, by whether the answer to the last was right: a weighted up-down method.

    Defaults are section 2.1's, but for one thing. It says "raised at 10ms increments and reduced at 30ms decrements",
    3-up/1-down, which leads to 75% right answers. A staircase rests where steps down, weighted by the share of right
    answers, balance steps up: right * down = wrong * up (Kaernbach, Perception & Psychophysics 49, 1991). That is at
    75% for 10 ms down and 30 ms up, which is used here, and at 25%, worse than guessing, for the words as they stand.

    Attributes:
      start: exposure of a block's first image, in milliseconds, as is all else.
      low: the shortest there is.
      high: the longest there is.
      down: what a right answer takes away.
      up: what a wrong answer adds.
    """

    start: int = 500
    low: int = 100
    high: int = 1000
    down: int = 10
    up: int = 30

    def next(self, exposure: int, correct: bool) -> int:
        """The exposure that follows an answer."""
        return min(max(exposure + (-self.down if correct else self.up), self.low), self.high)

    def exposures(self, correct: Sequence[bool]) -> list[int]:
        """The exposures of a block whose answers were right or wrong as given."""
        shown = [self.start]
        for answer in correct[:-1]:
            shown.append(self.next(shown[-1], answer))
        return shown


def wilson(errors: int, answers: int) -> Interval:
    """The 95% interval of a share (Wilson, JASA 22, 1927), which stays within 0 and 1 and needs no large numbers."""
    share, scale = errors / answers, Z * Z / answers
    centre = share + scale / 2
    half = Z * math.sqrt(share * (1 - share) / answers + scale / (4 * answers))
    return max(0.0, (centre - half) / (1 + scale)), min(1.0, (centre + half) / (1 + scale))


def modal_exposure(exposures: Sequence[int]) -> float:
    """The exposure that a block visited most often, in milliseconds; the mean of several where they tie."""
    values, counts = np.unique(np.asarray(exposures), return_counts=True)
    return float(values[counts == counts.max()].mean())


def hype_time(blocks: Sequence[Sequence[int]]) -> float:
    """One person's score, in milliseconds: the mean over blocks of their modal exposures (section 2.1)."""
    return sum(map(modal_exposure, blocks)) / len(blocks)


def uniform(seed: int, count: int) -> np.ndarray:
    """Random numbers in [0, 1), float64 (count,): the k-th is a hash of seed and k, so that JavaScript has the same.

    The hash is MurmurHash3's 32-bit finaliser (Appleby, public domain) of steps along the golden ratio.
    """
    bits: np.ndarray = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.full(
        count, seed, np.uint32
    )
    bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
    return (bits ^ (bits >> 16)) / 2**32


def resampled_modes(exposures: Sequence[int], seed: int, resamples: int) -> np.ndarray:
    """Modal exposures, float64 (resamples,), of blocks put together from runs of a block's answers."""
    count = len(exposures)
    length = math.ceil(math.sqrt(count))
    runs = math.ceil(count / length)
    starts = np.floor(uniform(seed, resamples * runs) * count).astype(int).reshape(resamples, runs, 1)
    chosen = ((starts + np.arange(length)) % count).reshape(resamples, runs * length)[:, :count]
    levels, level = np.unique(np.asarray(exposures), return_inverse=True)
    cells = np.arange(resamples)[:, None] * len(levels) + level[chosen]
    counts = np.bincount(cells.ravel(), minlength=resamples * len(levels)).reshape(resamples, len(levels))
    most = counts == counts.max(axis=1, keepdims=True)
    return (most * levels).sum(axis=1) / most.sum(axis=1)


def hype_time_interval(blocks: Sequence[Sequence[int]], resamples: int = RESAMPLES) -> Interval:
    """The 95% interval of one person's HYPE-time, by a bootstrap over answers: not the paper's, which is over people.

    Each exposure depends on the one before, so what is drawn are not answers but runs of them, of the square root of
    the block's length, wrapping around its end (the circular block bootstrap, Politis and Romano 1992). For simulated
    people who are right the more often the longer they look, it held their mean score in 88 to 96 of 100 cases.
    """
    modes = [resampled_modes(exposures, seed, resamples) for seed, exposures in enumerate(blocks)]
    ranked, tail = np.sort(sum(modes, np.zeros(resamples)) / len(blocks)), resamples // 40
    return float(ranked[tail]), float(ranked[-1 - tail])
