"""Whether a measure has a meaning for a run."""

from gen_jax.errors import ConfigError
from gen_jax.measures.subject import Subject


class DoesNotApply(ConfigError):
    """A measure that has no meaning for a method or its data."""


def images_only(subject: Subject, name: str) -> None:
    """Raises DoesNotApply for a model of points."""
    if not subject.info.is_image:
        raise DoesNotApply(f"{name} does not apply to {subject.info.name}: it has points, not images")
