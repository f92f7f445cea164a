"""Values of options, parsed and validated: what code gives, and the text of files and variables.

JSON, YAML and INI files and environment variables often have text where code has a number or a bool.
Each function takes both, and either understands a value as a person means it or refuses it with a
`ConfigurationError` that names the option and what is allowed. Names that a function does not have are
refused with the nearest that it has.
"""

from __future__ import annotations

import codecs
import functools
import inspect
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from chora_logging.errors import ConfigurationError, UnknownOptionError
from chora_logging.schema import LEVELS

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_FLAGS = dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True)
_FLAGS |= dict.fromkeys(("false", "no", "off", "0", "f", "n"), False)

#: The seconds of the units of time that texts have.
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_COMPRESSIONS = ("gzip", "zstd")
_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
# Sixteen digits: more are no size, and from 4,300 on `int` raises.
_WHOLE = re.compile(r"\s*\d{1,16}\s*", re.ASCII)
_SIZE = re.compile(r"\s*(\d{1,16})\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE | re.ASCII)
_AGE = re.compile(r"\s*(\d{1,9})\s*([smhdw])\s*", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\s*(?:\d{1,16}(?:\.\d*)?|\.\d+)\s*", re.ASCII)
_OCTAL = re.compile(r"\s*(?:0o?)?([0-7]{3,4})\s*", re.ASCII)

_OWNER_WRITES = 0o200
_OWNER_READS_AND_WRITES = 0o600


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def parse_path(name: str, value: object) -> str:
    """Return *value* as a path; *name* is the argument or variable it came from, as in all functions here.

    Raises:
        ConfigurationError: it is not a path, is empty, has a NUL character, or is an address.
    """
    try:
        path = os.fsdecode(os.fspath(value))  # type: ignore[call-overload]  # raises TypeError
        os.fsencode(path)
    except TypeError:
        raise ConfigurationError(name, value, "a path (str or os.PathLike)") from None
    except UnicodeEncodeError:
        raise ConfigurationError(name, value, "a path in characters that the file system has") from None
    if not path.strip():
        raise ConfigurationError(name, value, "the path of a file, not empty")
    if "\0" in path:
        raise ConfigurationError(name, value, "the path of a file, without a NUL character")
    if address := _ADDRESS.match(path):  # what follows may have a password
        raise ConfigurationError(name, f"{address[0]}…", "the path of a file, not the address of a stream")
    return path


def parse_flag(name: str, value: object, allowed: str = "true or false (or yes/no, on/off, 1/0)") -> bool:
    """Return *value* as a bool; it is one, or 1, 0, or one of the words of configuration files in any case.

    >>> parse_flag("compress", "No")
    False

    Raises:
        ConfigurationError: it is none of these; the error says that it must be *allowed*.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) or (isinstance(value, int) and value in (0, 1)):
        flag = _FLAGS.get(str(value).strip().lower())
        if flag is not None:
            return flag
    raise ConfigurationError(name, value, allowed)


def parse_compression(name: str, value: object) -> str:
    """Return *value* as the name of a format of compressed files; empty for none. A flag stands for gzip.

    >>> parse_compression("compress", "yes"), parse_compression("compress", False)
    ('gzip', '')

    Raises:
        ConfigurationError: it is neither a flag nor a format.
    """
    if isinstance(value, str) and (name_of := value.strip().lower()) in _COMPRESSIONS:
        return name_of
    allowed = 'true, which is "gzip", false (or yes/no, on/off, 1/0), "gzip" or "zstd"'
    return "gzip" if parse_flag(name, value, allowed) else ""


def parse_count(name: str, value: object, least: int = 0) -> int:
    """Return *value* as a number of things; it is an int, or a string of digits.

    Raises:
        ConfigurationError: it is not a whole number of *least* or more.
    """
    count = _whole(value)
    if count is None or count < least:
        raise ConfigurationError(name, value, f"a whole number, {least} or more")
    return count


def parse_size(name: str, value: object, least: int = 0) -> int:
    """Return *value* as a number of bytes; it is an int, or a string such as `"10MB"`, `"512 kB"`, `"1GiB"`.

    >>> parse_size("maxBytes", "10MB")
    10485760

    Raises:
        ConfigurationError: it is neither, or below *least*.
    """
    size = _whole(value)
    if size is None and isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * _UNITS[match[2].upper()]
    if size is None or size < least:
        raise ConfigurationError(name, value, f'a number of bytes, {least} or more, or a string like "10MB"')
    return size


def _whole(value: object) -> int | None:
    """Return a whole number of 0 or more; None if *value* is none. JSON of other languages has 5.0 for 5."""
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and value >= 0 else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


_READ_ONLY_DIGITS = (400, 440, 444)


def parse_mode(name: str, value: object) -> int | None:
    """Return *value* as permission bits; None stays None.

    A string has octal digits, with or without `0` or `0o` before them. An int is the bits themselves,
    such as 0o640, if they let the file's owner read and write. Otherwise its decimal digits are taken
    as octal ones if those do: YAML 1.2 and JSON have no octal numbers, so `640` and `0640` come as the
    int 640, which is 0o1200 and no permissions that anyone means for a log. No int has both readings. The
    ints 444, 440 and 400 are refused: whoever writes them means read-only, and their bits are 0o674, 0o670
    and 0o620.

    >>> parse_mode("file_mode", 640) == parse_mode("file_mode", "640") == 0o640
    True

    Raises:
        ConfigurationError: it is none of these, or the owner could not write the file.
    """
    if value is None:
        return None
    mode = None
    if isinstance(value, str) and (match := _OCTAL.fullmatch(value)):
        mode = int(match[1], 8)
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        mode = value if value not in _READ_ONLY_DIGITS else None
        if not _has(value, _OWNER_READS_AND_WRITES) and (match := _OCTAL.fullmatch(str(value))):
            digits = int(match[1], 8)
            mode = digits if _has(digits, _OWNER_READS_AND_WRITES) else value
    if mode is None or not _has(mode, _OWNER_WRITES):
        allowed = 'permission bits such as 0o640 or "0640", with which the owner can write'
        raise ConfigurationError(name, value, allowed)
    return mode


def _has(mode: int, bits: int) -> bool:
    return mode & bits == bits


def parse_timeout(name: str, value: object) -> float:
    """Return *value* as a number of seconds; it is a number, or a string such as `"0.5"`.

    Raises:
        ConfigurationError: it is neither, or not from 0 to below 10⁹.
    """
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise ConfigurationError(name, value, "a number of seconds, 0 or more")


def parse_age(name: str, value: object) -> float:
    """Return *value* as a number of seconds; it is a number, or a string such as `"90d"`, `"12h"`, `"30m"`.

    >>> parse_age("maxAge", "2h")
    7200.0

    Raises:
        ConfigurationError: it is neither, or not from 0 to below 10⁹.
    """
    if isinstance(value, str) and (match := _AGE.fullmatch(value)):
        value = int(match[1]) * UNIT_SECONDS[match[2].lower()]
    try:
        return parse_timeout(name, value)
    except ConfigurationError:
        raise ConfigurationError(
            name, value, 'a number of seconds, 0 or more, or a string like "90d"'
        ) from None


def level_number(value: object) -> int | None:
    """Return the level with the name or number *value*; None if there is no such level.

    Levels added with `logging.addLevelName` are included. A name that `logging` has exactly as it is
    written wins; otherwise upper and lower case are the same.
    """
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            return int(text)
        numbers = logging._nameToLevel  # `getLevelNamesMapping` is new in Python 3.11
        for name in (value, text, text.upper()):
            if name in numbers:
                return numbers[name]
        return next((numbers[name] for name in list(numbers) if name.lower() == text.lower()), None)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def parse_level(name: str, value: object) -> int:
    """Return *value*, a name in any case or a number, as a level.

    Raises:
        ConfigurationError: there is no such level.
    """
    level = level_number(value)
    if level is None:
        added = [known for known in logging._nameToLevel if known not in (*LEVELS, "WARN", "FATAL", "NOTSET")]
        allowed = f"one of {', '.join([*LEVELS, *added])} (any case), or a number, 0 or more"
        raise ConfigurationError(name, value, allowed)
    return level


def parse_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return *value* if it is one of *choices*.

    Raises:
        ConfigurationError: it is none of them.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise ConfigurationError(name, value, " or ".join(f'"{choice}"' for choice in choices))


def parse_fields(name: str, value: object) -> dict[str, Any]:
    """Return *value*, a mapping of the names of fields, as a dict.

    Raises:
        ConfigurationError: it is not a mapping.
    """
    if isinstance(value, Mapping):
        # Not `dict(value)`: a mapping of `dictConfig` resolves "ext://…" when an item is asked for.
        return {field: value[field] for field in value}
    raise ConfigurationError(name, value, 'a mapping of field names, such as {"user_id": 7}')


def parse_text_mode(name: str, value: object) -> str:
    """Return *value* if it is a mode of `open` for writing text.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, str) and value.replace("+", "").replace("t", "") in ("a", "w", "x"):
        return value
    raise ConfigurationError(name, value, '"a", "w" or "x" (lines are text)')


def parse_encoding(name: str, value: object) -> str:
    """Return the name of the codec for the encoding *value*; None is the locale's, as in `open`.

    Raises:
        ConfigurationError: this Python has no such encoding, or it does not encode text, as `base64`.
    """
    if value is None or value == "locale":
        import locale  # imported here because it is rarely needed and not loaded by logging

        return locale.getpreferredencoding(False)
    try:
        codec = codecs.lookup(str(value)).name
        "".encode(codec)
        return codec
    except (LookupError, ValueError):
        raise ConfigurationError(name, value, "an encoding of text that this Python has") from None


def parse_encoding_errors(name: str, value: object) -> str | None:
    """Return *value*, the name of an error handler for encoding, as in `open`; None stays None.

    Raises:
        ConfigurationError: there is none with that name.
    """
    if value is None:
        return None
    try:
        codecs.lookup_error(str(value))
    except (LookupError, ValueError):
        allowed = 'one that codecs.register_error knows, such as "strict", "replace" or "backslashreplace"'
        raise ConfigurationError(name, value, allowed) from None
    return str(value)


def check_callable(name: str, value: object) -> None:
    """Check that *value* can be called; None may be.

    Raises:
        ConfigurationError: it cannot.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(name, value, "callable")


def refuse_unknown(owner: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise for the first of the *given* options that is not *known* to the function or class *owner*.

    Raises:
        UnknownOptionError: there is one; it names the nearest that is known.
    """
    for name in given:
        if name not in known:
            raise UnknownOptionError(name, given[name], owner, tuple(known))


def checked_names(
    *forwarding: Callable[..., Any],
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Decorate a function so that it refuses unknown keyword arguments by `refuse_unknown`.

    A misspelt option of a configuration file becomes an argument that a function does not have.

    Args:
        forwarding: The functions that the function passes its other keyword arguments on to.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        known = dict.fromkeys(name for each in (function, *forwarding) for name in option_names(each))
        owner = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            if not kwargs.keys() <= known.keys():
                refuse_unknown(owner, kwargs, known)
            return function(*args, **kwargs)

        return checked

    return decorate


def option_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments of *function*, without those of `**`, in their order."""
    code = getattr(function, "__wrapped__", function).__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return tuple(name for name in names if name != "self")


def accepts(function: Callable[..., Any], number: int) -> bool:
    """Return whether *function* can be called with *number* positional arguments, or it is not known."""
    try:
        inspect.signature(function).bind(*range(number))
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def is_loopback(address: str) -> bool:
    """Return whether *address*, an IP address or `localhost`, is of the loopback."""
    import ipaddress  # only what listens needs it

    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
