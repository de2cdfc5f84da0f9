"""The one family of errors that is meant for the user."""

import tokenize
import zipfile
import zlib


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


#: What damaged files make NumPy, Keras and the modules below them raise.
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
