"""What can go wrong, in one line a person can act on, and the exit code that says which kind it was."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; the nearest is 'fid'", for a message about a name that is not known, or "" where none is near."""
    found = difflib.get_close_matches(name.lower(), known, 1)
    return f"; the nearest is {found[0]!r}" if found else ""


class GenJaxError(Exception):
    """An error the user can mend. The command line prints its message alone, without a traceback."""

    exit_code = 1


class ConfigError(GenJaxError):
    """A flag, a value or a run directory that cannot be used as given."""

    exit_code = 2


class DoesNotApply(ConfigError):
    """A measure that has no meaning for a method or its data, or needs more of them."""


class NoFeatures(DoesNotApply):
    """There is no feature network for a data set: no labels to train one on, and no weights of Inception."""


class DataError(GenJaxError):
    """A data set that is unknown, not prepared, missing, empty or unreadable."""

    exit_code = 3


class NonFiniteError(GenJaxError):
    """A loss or a parameter became NaN or infinite.

    Attributes:
      step: by which that was noticed.
    """

    exit_code = 4

    def __init__(self, message: str, step: int = 0):
        super().__init__(message)
        self.step = step


class Preempted(GenJaxError):
    """The run was told to stop, and has saved its state: run it again."""

    exit_code = 75


class DamagedCheckpoint(GenJaxError):
    """A saved step that cannot be trusted; the message says why. Older steps may still be intact."""

    exit_code = 2


class StorageError(GenJaxError):
    """The disk would not take, or give, the state: full, read-only, not permitted, not answering."""

    exit_code = 74
