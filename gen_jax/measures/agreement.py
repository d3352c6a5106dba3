"""Whether samples are of the class that they were asked for, by a classifier of the real data."""

import math

import numpy as np

from gen_jax.errors import ConfigError, DoesNotApply
from gen_jax.measures.applies import images_only
from gen_jax.measures.subject import Subject
from gen_jax.metrics.classifier import classifier_network
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.feature_network import FeatureExtractor
from gen_jax.metrics.score import Score
from gen_jax.training import keys

# Samples that are judged, unless a number is asked for.
SAMPLES = 1_000


def agreement(subject: Subject) -> list[Score]:
    """The share of samples whose most probable class is the one that was asked for, each class as often.

    Beside it stands how often the same classifier is right about held-out images, which bounds what can be told.
    """
    images_only(subject, "agreement")
    asked = subject.game.given.get("label")
    if asked is None or asked.field.size is None:
        raise DoesNotApply("agreement does not apply: nobody can ask this method for a class")
    try:
        network = classifier_network(subject.dataset, subject.run.feature_mesh, say=subject.say)
    except ConfigError as error:
        raise DoesNotApply(f"agreement does not apply: {error}") from error
    n = subject.protocol.samples or SAMPLES
    label = np.arange(n, dtype=np.int32) % asked.field.size
    extractor, key, right = FeatureExtractor(network, subject.run.feature_mesh), subject.sample_key, 0
    drawn = subject.run.sampler.stream(subject.state, keys.derive(key, "agreement"), n, label=label)
    done = 0
    for part in drawn:
        seen = next(iter(extractor.stream([part])))
        right += int((seen.probabilities.argmax(axis=1) == label[done : done + len(part)]).sum())
        done += len(part)
        subject.progress("samples", done, n)
    protocol = {**subject.sampled, "samples": n, "judge": network.provenance}
    quantity = Quantity("agreement", f"Of the class asked for ({network.name})", "larger")
    return [subject.score(quantity, Found(right / n, wilson(right, n)), protocol, "share")]


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson, 1927, J. Amer. Statist. Assoc. 22)."""
    z, p = 1.959964, right / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
