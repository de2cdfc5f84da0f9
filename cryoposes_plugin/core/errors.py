"""The errors that are meant for the user."""

from __future__ import annotations

import lzma
import re
import struct
import tokenize
import zipfile
import zlib

#: Longer names are cut in their middle.
_LONGEST_NAME = 400


class CryoposesError(Exception):
    """Something the user can correct: one sentence with what, where, the value and the remedy.

    The program prints the sentence and ends with status 2; a protocol shows it in its form.
    """

    def __str__(self) -> str:
        """The sentence on one line of moderate length, even if a name in it holds control
        characters or thousands of others.
        """
        sentence = re.sub(
            r"[\x00-\x1f\x7f\x85\u2028\u2029]",
            lambda found: repr(found[0])[1:-1],
            super().__str__(),
        )
        return re.sub(
            rf"\S{{{_LONGEST_NAME + 1},}}",
            lambda found: f"{found[0][: _LONGEST_NAME // 2]}...{found[0][-_LONGEST_NAME // 2 :]}",
            sentence,
        )


class InputError(CryoposesError):
    """A file, a particle set, a volume or a model that cannot be used as it is."""


class ConfigError(CryoposesError):
    """A parameter, or a combination of parameters, that is not allowed."""


class ResourceError(CryoposesError):
    """The machine lacks something: disk space, CUDA, an optional program."""


#: Exceptions that NumPy, Keras and the modules below them raise for damaged files.
UNREADABLE = (
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
