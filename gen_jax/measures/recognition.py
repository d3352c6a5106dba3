"""Whether a judge of real digits recognises the samples."""

from gen_jax.errors import DoesNotApply
from gen_jax.measures.subject import Subject
from gen_jax.metrics.feature_measures import Found, Quantity
from gen_jax.metrics.recognition import Recognition
from gen_jax.metrics.score import Score


def recognition(subject: Subject) -> list[Score]:
    """Whether trees that know the real digits recognise the samples, and all classes among them."""
    data = subject.dataset.train.arrays if subject.info.name == "digits" else None
    if data is None:
        raise DoesNotApply(f"recognition does not apply to {subject.info.name}: its judge is made for digits")
    judge = Recognition(data["x"], data["label"])
    images = subject.images[: judge.samples]
    found = judge(images)
    protocol = {**subject.sampled, "samples": len(images), "judge": "500 extremely randomised trees"}
    names = {"recognised": "Recognised as a digit", "rarest_class": "Rarest digit"}
    return [
        subject.score(Quantity(metric, names[metric], "larger"), Found(value), protocol, "share")
        for metric, value in found.items()
    ]
