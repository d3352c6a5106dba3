"""Whether a measure has a meaning for a run."""

from gen_jax.errors import DoesNotApply
from gen_jax.measures.subject import Subject


def images_only(subject: Subject, name: str) -> None:
    """Raises DoesNotApply for a model of points."""
    if not subject.info.is_image:
        raise DoesNotApply(f"{name} does not apply to {subject.info.name}: it has points, not images")
