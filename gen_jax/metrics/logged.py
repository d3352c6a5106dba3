"""What logged numbers are: what methods say of theirs, and what this room knows of its own."""

from collections.abc import Mapping
from typing import Literal

from gen_jax.training.game import Reported

Direction = Literal["larger", "smaller"]

Reports = Mapping[str, Reported]
"""What methods say of the numbers that they log, by name."""

# Words of this room's own numbers that are more than their names.
WORDS = {"modes": "Modes found", "high_quality": "High-quality samples", "fid": "FID", "kid": "KID"}
# Numbers of which more is better; a name may go on after an underscore with what it depends on:
# precision_1k_mnist_classifier.
LARGER_IS_BETTER = (
    *("accuracy", "agreement", "authenticity", "coverage", "density", "high_quality", "inception_score", "modes"),
    *("precision", "psnr", "rarest_class", "recall", "recognised", "ssim"),
)
# And less.
SMALLER_IS_BETTER = ("fid", "kid", "wasserstein_1", "copied")
# What is measured of any method that gives probabilities.
LIKELIHOODS: Mapping[str, Reported] = {
    "nll": Reported("Negative log-likelihood", "nats", "smaller", depends_on="observed"),
    "bits_per_dim": Reported("Bits per dimension", "bits", "smaller", depends_on="observed"),
}


def reported(name: str, reports: Reports) -> Reported:
    """What a number is.

    Args:
      name: as it is logged: "elbo", "fid_1k_mnist_classifier".
      reports: what the method says of its own.

    Returns:
      Its meaning, as the method has it, or as the metrics have; of what neither knows, that it depends on the
      experiment.
    """
    if name in reports:
        return reports[name]
    if name in LIKELIHOODS:
        return LIKELIHOODS[name]
    better: Direction | None = None
    if any(name == stem or name.startswith(f"{stem}_") for stem in LARGER_IS_BETTER):
        better = "larger"
    elif any(name == stem or name.startswith(f"{stem}_") for stem in SMALLER_IS_BETTER):
        better = "smaller"
    return Reported(spaced(name), better=better, depends_on=None if better else "experiment")


def spaced(name: str) -> str:
    """FID 5k inception of fid_5k_inception, Fake logits of fake_logits."""
    if name in WORDS:
        return WORDS[name]
    first, _, rest = name.partition("_")
    return f"{WORDS.get(first) or first[:1].upper() + first[1:]} {rest.replace('_', ' ')}".rstrip()
