"""How probable held-out data are: what a method itself reports, log p(x) by importance sampling, bits per dimension."""

import functools
from typing import Any

from gen_jax.errors import DoesNotApply
from gen_jax.measures.subject import Subject
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.likelihood import ImportanceSampler, LogLikelihood, bits_per_dim
from gen_jax.metrics.logged import reported as meaning_of
from gen_jax.metrics.provenance import described
from gen_jax.metrics.score import Score
from gen_jax.run.examiner import Examiner
from gen_jax.training.game import Density


def held_out(subject: Subject) -> list[Score]:
    """What the method itself measures on held-out data, such as the ELBO."""
    if subject.game.evaluate is None:
        raise DoesNotApply("held_out does not apply: the method measures nothing on held-out data")
    scores = []
    for name, value in reported(subject).items():
        meaning = meaning_of(name, subject.game.reports)
        quantity = Quantity(name, meaning.title, meaning.better)
        scores.append(subject.score(quantity, Found(value), protocol(subject), meaning.unit))
    return scores


def nll(subject: Subject) -> list[Score]:
    """-log p(x) by importance sampling, an upper bound that falls with the number of draws; or exact."""
    density = density_of(subject, "nll")
    if density.log_weights is None:
        raise DoesNotApply(
            "nll does not apply: of this model only a bound is known, which held_out and bits_per_dim give"
        )
    found = importance_sampled(subject)
    how = "exact" if density.exact else f"{found.draws:,} importance samples"
    interval = None if found.interval is None else (-found.interval[1], -found.interval[0])
    quantity = Quantity("nll", f"-log p(x), {how}", "smaller")
    return [
        subject.score(quantity, Found(-found.mean, interval), {**protocol(subject), **drawn(subject, found)}, "nats")
    ]


def bits(subject: Subject) -> list[Score]:
    """Bits per dimension of 256 levels, with what they come from in the name."""
    density = density_of(subject, "bits_per_dim")
    if density.observed not in ("256 levels", "dequantised"):
        raise DoesNotApply(
            f"bits_per_dim does not apply: the model scores {density.observed}, not 256 levels or dequantised pixels"
        )
    detail: dict[str, Any] = {
        **protocol(subject),
        "dequantisation": "uniform" if density.observed == "dequantised" else "none",
    }
    if density.log_weights is None:
        nats, how, interval = reported(subject)["elbo"], "by the ELBO", None
    else:
        found = importance_sampled(subject)
        nats, how, interval = found.mean, f"{found.draws:,} importance samples", found.interval
        how = "exact" if density.exact else how
        detail |= drawn(subject, found)
    in_bits = functools.partial(bits_per_dim, shape=subject.info.shape, observed=density.observed)
    ends = None if interval is None else (in_bits(interval[1]), in_bits(interval[0]))
    name = f"Bits per dimension, {density.observed}, {how}"
    return [subject.score(Quantity("bits_per_dim", name, "smaller"), Found(in_bits(nats), ends), detail, "bits")]


def density_of(subject: Subject, name: str) -> Density:
    """How the game scores data; DoesNotApply where it does not."""
    if subject.game.density is None:
        raise DoesNotApply(f"{name} does not apply: the method gives no probabilities to data")
    return subject.game.density


def reported(subject: Subject) -> dict[str, float]:
    """What the method measures on held-out data, by name; computed once."""
    return subject.once("held out", lambda: examiner(subject)(subject.state))


def examiner(subject: Subject) -> Examiner:
    """Evaluates as the training does."""
    return Examiner(subject.game, subject.dataset, subject.run.mesh, subject.run.config, ())


def importance_sampled(subject: Subject) -> LogLikelihood:
    """log p(x) of the held-out data; computed once."""

    def estimate() -> LogLikelihood:
        evaluator = examiner(subject).evaluator
        seed, draws = subject.protocol.seed, subject.protocol.importance_samples
        sampler = ImportanceSampler(subject.game, evaluator.held_out, subject.run.mesh, seed, draws, evaluator.reduce)
        return sampler(
            subject.state, lambda done: subject.progress("held-out examples", done, subject.dataset.test.size)
        )

    return subject.once("importance sampled", estimate)


def drawn(subject: Subject, found: LogLikelihood) -> dict[str, Any]:
    """What importance sampling adds to that."""
    return {"seed": subject.protocol.seed, "importance_samples": found.draws}


def protocol(subject: Subject) -> dict[str, Any]:
    """What a number about held-out data depends on, as JSON. It is measured as the training does, with its seed."""
    found = {
        "seed": subject.run.config.seed,
        "weights": subject.weights,
        "data": described(subject.info, subject.dataset, subject.dataset.test),
    }
    return found if subject.game.density is None else {**found, "observed": subject.game.density.observed}
