"""Samples beside real images in the features of a network: FID, KID, Inception Score, precision, recall, …"""

from collections.abc import Callable

from gen_jax.measures.applies import images_only
from gen_jax.measures.subject import Subject
from gen_jax.metrics.feature_measures import check_counts, feature_measures, protocol, qualified
from gen_jax.metrics.score import Score


def in_features(name: str) -> Callable[[Subject], list[Score]]:
    """A measure in the features of a network, at the subject's protocol."""

    def scores(subject: Subject) -> list[Score]:
        images_only(subject, name)
        chosen = feature_measures(subject.protocol.splits)[name]
        check_counts(name, chosen, "--samples", subject.samples, subject.split.size)
        real, generated = subject.real, subject.generated
        found = chosen.compute(real, generated)
        rows = len(real.features), len(generated.features)
        depends = protocol(chosen, rows, subject.network, subject.sampled, subject.referred)
        samples = chosen.samples(real.count, generated.count)
        return [
            subject.score(qualified(quantity, samples, subject.network), value, depends)
            for quantity, value in zip(chosen.quantities, found, strict=True)
        ]

    return scores
