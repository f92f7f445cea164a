"""Hands rows to another library of this process in batches, by Arrow's C interfaces and without pyarrow.

The structures and the rules of who frees what are those of the Arrow C data interface and the Arrow C
stream interface. A batch is a struct array with a child for each column.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import re
from array import array
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

_SURROGATE = re.compile("[\ud800-\udfff]")


class Buffers(NamedTuple):
    """The values of one column of a batch.

    Attributes:
        nulls: How many of them are null.
        addresses: Where the buffers are: first the bits that say which are not null, None if all are not.
        kept: The objects that the buffers belong to.
    """

    nulls: int
    addresses: Sequence[int | None]
    kept: object


class Batch(NamedTuple):
    """Some rows: their number, and their values by column."""

    length: int
    columns: Sequence[Buffers]


class Kind(NamedTuple):
    """The type of a column.

    Attributes:
        format: Its name in Arrow.
        buffers: Lays out values, of which None stands for null.
        metadata: What else Arrow says about it.
    """

    format: bytes
    buffers: Callable[[list[Any]], Buffers]
    metadata: bytes | None = None


class Stream:
    """A stream of batches that can be read once, by whoever asks `__arrow_c_stream__` for it.

    It must live until the other library has released everything. Its functions may be called in any thread,
    but not in several at once.

    Args:
        columns: The names and kinds of the columns.
        batches: Opened when the first batch is asked for, and closed with the stream.

    Attributes:
        error: What *batches* raised, for the other library learns only that something has failed.
    """

    def __init__(
        self, columns: Sequence[tuple[str, Kind]], batches: Callable[[], Generator[Batch, None, None]]
    ) -> None:
        self.error: BaseException | None = None
        self._columns = columns
        self._open = batches
        self._batches: Generator[Batch, None, None] | None = None
        self._reader: int | None = None  # the number of the copy of the stream that is read
        self._message = b""
        self._numbers = itertools.count(1)
        self._kept: dict[int, object] = {}
        self._streams: list[_Stream] = []
        self._release_schema = _ReleaseSchema(self._free)
        self._release_array = _ReleaseArray(self._free)
        self._functions = (
            _GetSchema(self._get_schema),
            _GetNext(self._get_next),
            _GetLastError(self._get_last_error),
            _ReleaseStream(self._close),
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream in a capsule. It may be asked for often; only one of them can be read."""
        stream = _Stream(*self._functions, next(self._numbers))
        self._streams.append(stream)  # the capsule only points at it
        return _new_capsule(ctypes.addressof(stream), _CAPSULE, None)

    def _get_schema(self, stream: Any, out: Any) -> int:
        children = [
            _Schema(kind.format, name.encode(), kind.metadata, _NULLABLE, 0, None, None, self._release_schema)
            for name, kind in self._columns
        ]
        for child in children:
            child.private_data = self._keep(child)
        pointers = (ctypes.POINTER(_Schema) * len(children))(*map(ctypes.pointer, children))
        found = out[0]
        found.format, found.name, found.metadata = b"+s", b"", None
        found.flags, found.n_children, found.children = 0, len(children), pointers
        found.dictionary, found.release = None, self._release_schema
        # What it points at belongs to `out`, which the other library may copy.
        found.private_data = self._keep((children, pointers, found.format, found.name))
        return 0

    def _get_next(self, stream: Any, out: Any) -> int:
        try:
            number = stream[0].private_data
            if self._batches is None:
                self._batches, self._reader = self._open(), number
            if self._reader != number:
                raise RuntimeError("the events can be read only once")
            batch = next(self._batches, None)
        except BaseException as error:
            self.error = error
            self._message = str(error).encode("utf-8", "replace")
            return errno.EIO
        if batch is None:
            out[0].release = _ReleaseArray()
            return 0
        children = [self._array(batch.length, column) for column in batch.columns]
        pointers = (ctypes.POINTER(_Array) * len(children))(*map(ctypes.pointer, children))
        self._fill(out[0], batch.length, Buffers(0, (None,), (children, pointers)))
        out[0].n_children, out[0].children = len(children), pointers
        return 0

    def _array(self, length: int, buffers: Buffers) -> _Array:
        found = _Array()
        self._fill(found, length, buffers)
        return found

    def _fill(self, found: _Array, length: int, buffers: Buffers) -> None:
        addresses = (ctypes.c_void_p * len(buffers.addresses))(*buffers.addresses)
        found.length, found.null_count, found.offset = length, buffers.nulls, 0
        found.n_buffers, found.n_children, found.buffers = len(addresses), 0, addresses
        found.children, found.dictionary, found.release = None, None, self._release_array
        found.private_data = self._keep((addresses, buffers.kept))

    def _get_last_error(self, stream: Any) -> int | None:
        return address_of(self._message)

    def _close(self, stream: Any) -> None:
        if self._reader == stream[0].private_data and self._batches is not None:
            self._batches.close()
        stream[0].release = _ReleaseStream()

    def _keep(self, owned: object) -> int:
        number = next(self._numbers)
        self._kept[number] = owned
        return number

    def _free(self, freed: Any) -> None:
        for child in freed[0].children[: freed[0].n_children] if freed[0].n_children else ():
            if child[0].release:  # else the other library has taken it over
                child[0].release(child)
        number, freed[0].release = freed[0].private_data, type(freed[0].release)()
        self._kept.pop(number, None)


def texts(values: list[str | None]) -> Buffers:
    """Lay out strings; surrogates, which UTF-8 does not have, become U+FFFD."""
    known = [value or "" for value in values]
    joined = "".join(known)
    if joined.isascii():
        return _variable(values, known, joined.encode())
    encoded = [_SURROGATE.sub("\ufffd", value).encode() for value in known]
    return _variable(values, encoded, b"".join(encoded))


def bytestrings(values: list[bytes]) -> Buffers:
    """Lay out strings that are UTF-8 already; none may be null."""
    return _variable(values, values, b"".join(values))


def integers(values: list[int | None]) -> Buffers:
    """Lay out integers of 64 bits."""
    return _fixed("q", values)


def numbers(values: list[float | None]) -> Buffers:
    """Lay out floats of 64 bits."""
    return _fixed("d", values)


def truths(values: list[bool]) -> Buffers:
    """Lay out truth values; none may be null."""
    bits = _bits(values)
    return Buffers(0, (None, address_of(bits)), bits)


def address_of(data: bytes) -> int | None:
    """Return where the bytes of *data* are."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


def _variable(values: Sequence[object], parts: Sequence[str] | Sequence[bytes], joined: bytes) -> Buffers:
    ends = array("q", itertools.accumulate(map(len, parts), initial=0))
    nulls, bits = _nulls(values)
    return Buffers(nulls, (_place(bits), ends.buffer_info()[0], address_of(joined)), (ends, joined, bits))


def _fixed(code: str, values: list[Any]) -> Buffers:
    nulls, bits = _nulls(values)
    data = array(code, [value or 0 for value in values] if nulls else values)
    return Buffers(nulls, (_place(bits), data.buffer_info()[0]), (data, bits))


def _nulls(values: Sequence[object]) -> tuple[int, bytes | None]:
    count = values.count(None)
    return count, _bits([value is not None for value in values]) if count else None


def _bits(truths: Sequence[bool]) -> bytes:
    digits = "".join(["1" if true else "0" for true in reversed(truths)])
    return int(digits or "0", 2).to_bytes(len(truths) // 8 + 1, "little")


def _place(bits: bytes | None) -> int | None:
    return None if bits is None else address_of(bits)


def _metadata(key: bytes, value: bytes) -> bytes:
    """Return one pair as Arrow encodes metadata: numbers of 32 bits in the order of the machine."""
    count, key_size, value_size = (array("i", [number]).tobytes() for number in (1, len(key), len(value)))
    return count + key_size + key + value_size + value


TEXT = Kind(b"U", texts)
JSON = Kind(b"U", bytestrings, _metadata(b"ARROW:extension:name", b"arrow.json"))
#: In microseconds since 1970, UTC.
TIMESTAMP = Kind(b"tsu:", integers)
NUMBER = Kind(b"g", numbers)
TRUTH = Kind(b"b", truths)

_NULLABLE = 2

_CAPSULE = b"arrow_array_stream"


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_ReleaseSchema = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
_ReleaseArray = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))
_GetLastError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))
_ReleaseStream = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))

_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", _ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", _ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _ReleaseStream),
    ("private_data", ctypes.c_void_p),
]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
