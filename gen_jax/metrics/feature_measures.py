"""Scores of generated images in the features of a network, beside real images: what is measured, and its name."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from gen_jax.errors import DoesNotApply
from gen_jax.metrics.collected import Collected
from gen_jax.metrics.evenly import evenly_spread
from gen_jax.metrics.feature_network import FeatureNetwork
from gen_jax.metrics.frechet import frechet_distance
from gen_jax.metrics.inception_score import inception_score
from gen_jax.metrics.kernel_distance import kernel_distance
from gen_jax.metrics.manifold import density_coverage, precision_recall

# From this many samples on, and at least as many as there are features, a distance between distributions is comparable.
COMPARABLE = 10_000


class Quantity(NamedTuple):
    """What a number is called.

    Attributes:
      metric: in files.
      name: on a page.
      better: which direction, where one is.
      note: what else belongs to the name, in brackets.
    """

    metric: str
    name: str
    better: Literal["larger", "smaller"] | None
    note: str = ""


class Found(NamedTuple):
    """A number.

    Attributes:
      value: the estimate.
      interval: 95%, where it comes with one.
    """

    value: float
    interval: tuple[float, float] | None = None


class FeatureMeasure(NamedTuple):
    """A way to compare generated with real images.

    Attributes:
      quantities: the numbers it gives.
      compute: (real, generated) -> as many numbers, in that order.
      least: how many images of each set it takes.
      detail: (rows of features of the real images, and of the generated ones) -> what else they depend on, as JSON.
      compares: whether they depend on the real images at all.
    """

    quantities: tuple[Quantity, ...]
    compute: Callable[[Collected, Collected], tuple[Found, ...]]
    least: int
    detail: Callable[[int, int], Mapping[str, Any]]
    compares: bool = True

    def samples(self, real: int, generated: int) -> int:
        """How many images a name speaks of, given those of both sets: the fewer."""
        return min(real, generated) if self.compares else generated


def fid(real: Collected, generated: Collected) -> tuple[Found, ...]:
    """The Fréchet distance, with moments of all images. Heusel et al., arXiv 1706.08500."""
    return (Found(frechet_distance(real.moments, generated.moments)),)


def kid(real: Collected, generated: Collected, subsets: int) -> tuple[Found, ...]:
    """The kernel distance, between the images that were kept. Bińkowski et al., arXiv 1801.01401."""
    size = subset_size(len(real.features), len(generated.features))
    distance = kernel_distance(real.features, generated.features, subsets=subsets, subset_size=size)
    return (Found(distance.value, distance.interval),)


def subset_size(real: int, generated: int) -> int:
    """Of subsets of so many images: of no more than half, which leaves something to tell the error by."""
    return min(1000, real // 2, generated // 2)


def inception(real: Collected, generated: Collected, splits: int) -> tuple[Found, ...]:
    """The inception score of all images. Salimans et al., arXiv 1606.03498."""
    found = inception_score(generated.probabilities, splits)
    half = 1.96 * found.deviation / splits**0.5
    return (Found(found.mean, (found.mean - half, found.mean + half)),)


def manifold(
    real: Collected, generated: Collected, measure: Callable[..., tuple[float, ...]], k: int
) -> tuple[Found, ...]:
    """What two sets of as many images share by their nearest neighbours; the larger set is thinned out evenly."""
    count = min(len(real.features), len(generated.features))
    rows = [each.features[evenly_spread(len(each.features), count)] for each in (real, generated)]
    return tuple(Found(value) for value in measure(*rows, k=k))


def feature_measures(splits: int = 10, subsets: int = 100) -> dict[str, FeatureMeasure]:
    """All of them, by what the command line calls them.

    Args:
      splits: of the samples, for the inception score.
      subsets: of both sets, for the kernel distance.
    """

    def by_neighbours(real: int, generated: int, k: int) -> dict[str, int]:
        return {"neighbours": k, "images_of_each_set": min(real, generated)}

    return {
        "fid": FeatureMeasure((Quantity("fid", "FID", "smaller"),), fid, 2, lambda real, generated: {}),
        "kid": FeatureMeasure(
            (Quantity("kid", "KID", "smaller"),),
            functools.partial(kid, subsets=subsets),
            4,
            lambda real, generated: {"subsets": subsets, "subset_size": subset_size(real, generated)},
        ),
        "inception_score": FeatureMeasure(
            (Quantity("inception_score", "Inception Score", "larger", f"{splits} splits"),),
            functools.partial(inception, splits=splits),
            splits,
            lambda real, generated: {"splits": splits},
            compares=False,
        ),
        "precision_recall": FeatureMeasure(
            (Quantity("precision", "Precision", "larger"), Quantity("recall", "Recall", "larger")),
            functools.partial(manifold, measure=precision_recall, k=3),
            4,
            functools.partial(by_neighbours, k=3),
        ),
        "density_coverage": FeatureMeasure(
            (Quantity("density", "Density", "larger"), Quantity("coverage", "Coverage", "larger")),
            functools.partial(manifold, measure=density_coverage, k=5),
            6,
            functools.partial(by_neighbours, k=5),
        ),
    }


def check_counts(name: str, measure: FeatureMeasure, flag: str, samples: int, real: int) -> None:
    """Raises DoesNotApply where there are too few samples, or real images, for a measure.

    Args:
      name: of the measure.
      measure: it.
      flag: what says how many samples there are.
      samples: how many.
      real: how many real images they are compared with.
    """
    if samples < measure.least:
        raise DoesNotApply(f"{flag} is {samples}; {name} needs at least {measure.least}")
    if measure.compares and real < measure.least:
        raise DoesNotApply(f"there are {real} real images; {name} needs at least {measure.least}")


def qualified(quantity: Quantity, samples: int, network: FeatureNetwork) -> Quantity:
    """A quantity with all in its names that forbids a comparison.

    Args:
      quantity: as the field calls it: "FID", "fid".
      samples: how many it is computed from, the smaller of both sets.
      network: in whose features. Only Inception's scores have a plain name.

    Returns:
      The same for ten thousand samples and Inception; otherwise "FID-1k (mnist classifier), not comparable" and
      "fid_1k_mnist_classifier".
    """
    short = samples < max(COMPARABLE, network.dimension)
    count = f"-{sample_count(samples)}" if short else ""
    plain = network.name == "inception"
    bracketed = "; ".join(part for part in ("" if plain else network.name, quantity.note) if part)
    page = f"{quantity.name}{count}" + (f" ({bracketed})" if bracketed else "") + (", not comparable" if short else "")
    in_files = quantity.metric + count.replace("-", "_").replace(".", "p") + ("" if plain else f"_{network.slug}")
    return quantity._replace(metric=in_files, name=page)


def protocol(
    measure: FeatureMeasure,
    rows: tuple[int, int],
    network: FeatureNetwork,
    sampled: Mapping[str, Any],
    reference: Mapping[str, Any],
) -> dict[str, Any]:
    """What the numbers of a measure depend on, as JSON.

    Args:
      measure: it.
      rows: of features that are kept of the real, and of the generated images.
      network: whose features.
      sampled: how the generated images were made.
      reference: which the real ones are.
    """
    compared = {"reference": dict(reference)} if measure.compares else {}
    return {**sampled, "features": network.provenance, **compared, **measure.detail(*rows)}


def sample_count(samples: int) -> str:
    """How a number of samples is written in a name: 500, 1k, 1438, 2.5k, 50k."""
    return f"{samples / 1000:g}k" if samples >= 1000 and samples % 100 == 0 else str(samples)
