"""Whether samples are copies of training images, in pixels and in features."""

from typing import Any

import numpy as np

from gen_jax.data.dataset import Split
from gen_jax.errors import NoFeatures
from gen_jax.measures.applies import images_only
from gen_jax.measures.subject import KEPT_IMAGES, Subject
from gen_jax.metrics.evenly import evenly_spread
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.memorisation import Memorisation, TrainingNeighbours, memorisation
from gen_jax.metrics.provenance import described
from gen_jax.metrics.score import Score

# Training images that are searched; a set that is larger is thinned out evenly, and the score says so.
SEARCHED = 60_000


def neighbours(subject: Subject) -> list[Score]:
    """The share of samples that are copies of a training image, and how near samples are to the training set."""
    images_only(subject, "neighbours")
    data = subject.dataset
    training, held_out = images(data.train, SEARCHED), images(data.test, KEPT_IMAGES)
    try:
        # Features first: the pass over the samples that they need keeps the images too.
        generated = subject.generated.features
    except NoFeatures:
        subject.say("left out: neighbours in features, for which there is no network")
        generated = None
    protocol = {
        **subject.sampled,
        "samples": len(subject.images),
        "training_images": {**described(subject.info, data, data.train), "searched": len(training)},
        "held_out_images": {**described(subject.info, data, data.test), "searched": len(held_out)},
    }
    in_pixels = compared(flat(subject.images), flat(training), flat(held_out))
    found = scores(subject, in_pixels, "pixels", "pixels", protocol)
    if generated is not None:
        network, seen = subject.network, [subject.extractor(part).features for part in (training, held_out)]
        in_features = compared(generated[: len(subject.images)], *seen)
        found += scores(subject, in_features, network.slug, network.name, {**protocol, "features": network.provenance})
    return found


def images(split: Split, count: int) -> np.ndarray:
    """At most `count` images of a split, evenly spread over it."""
    return split.load(evenly_spread(split.size, count))["x"]


def flat(images: np.ndarray) -> np.ndarray:
    """Images as rows of pixels."""
    return images.reshape(len(images), -1)


def compared(samples: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Memorisation:
    """Rows of samples and of held-out images by their nearest training images."""
    return memorisation(TrainingNeighbours.of(samples, training), TrainingNeighbours.of(held_out, training))


def scores(subject: Subject, found: Memorisation, slug: str, name: str, protocol: dict[str, Any]) -> list[Score]:
    """What is found in pixels, or in features, beside the same of held-out images."""
    copied = Quantity(f"copied_{slug}", f"Copies of training images ({name})", "smaller")
    ratio = Quantity(f"distance_ratio_{slug}", f"Distance to training images, 1 as of unseen ({name})", None)
    return [
        subject.score(copied, Found(found.copied), {**protocol, "of held-out images": found.held_out_copied}, "share"),
        subject.score(ratio, Found(found.distance_ratio), protocol),
    ]
