"""What can go wrong, in one line a person can act on, and the exit code that says which kind it was."""


class GenJaxError(Exception):
    """An error the user can mend. The command line prints its message alone, without a traceback."""

    exit_code = 1


class ConfigError(GenJaxError):
    """A flag, a value or a run directory that cannot be used as given."""

    exit_code = 2


class DataError(GenJaxError):
    """A data set that is unknown, not prepared, missing, empty or unreadable."""

    exit_code = 3


class NonFiniteError(GenJaxError):
    """A loss or a parameter became NaN or infinite."""

    exit_code = 4
