"""What scores depend on, as JSON: how samples are made, and which real data they are compared with."""

from typing import Any

from gen_jax.data.dataset import Dataset, Split
from gen_jax.data.info import DataInfo
from gen_jax.metrics.content import split_digest
from gen_jax.training.game import Game


def sampled(game: Game, samples: int, seed: int, weights: str) -> dict[str, Any]:
    """How samples are made.

    Args:
      game: the method.
      samples: how many.
      seed: of them.
      weights: "average" or "last".
    """
    made = {
        "samples": samples,
        "seed": seed,
        "weights": weights,
        "sampler": game.sampling.sampler,
        "sampler_steps": game.sampling.steps,
    }
    options = dict(game.sampling.options)
    return {**made, "sampling": options} if options else made


def described(info: DataInfo, dataset: Dataset, split: Split) -> dict[str, Any]:
    """Real data: which, how many, and a digest of what they hold; under the name that the run has for them."""
    return {
        "data": info.name,
        "split": "test" if split is dataset.test else "train",
        "shape": list(info.shape),
        "size": split.size,
        "digest": split_digest(dataset, split),
    }
