"""The one family of errors that is meant for the user."""


class CryoposesError(Exception):
    """Something the user can mend: one sentence with what, where, the value and the remedy.

    The program prints the sentence and ends with status 2; a protocol shows it in its form.
    """


class InputError(CryoposesError):
    """A file, a particle set, a volume or a model that cannot be used as it is."""


class ConfigError(CryoposesError):
    """A parameter, or a combination of parameters, that makes no sense."""


class ResourceError(CryoposesError):
    """The machine lacks something: disk space, CUDA, an optional program."""
