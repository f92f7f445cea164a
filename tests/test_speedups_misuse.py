"""Misuse of the compiled part's private functions raises: no crash, no SystemError, no partial effect.

`CHORA_LOGGING_PURE` leaves the compiled part out of the package; here it is imported anyway.
"""

from __future__ import annotations

import contextvars
import json

import pytest

from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter
from chora_logging.formatting.fields import STANDARD_ORDER
from tests.needs import need
from tests.records import record_of

try:
    from chora_logging.speedups import _speedups
except ImportError:
    _speedups = None

ATTRIBUTES = dict.fromkeys((*STANDARD_ORDER, "a"))
#: The first and the last of the special sources in `speedups.h`.
LOWEST_SOURCE, STAMP = -3, -1
PARTS = ((b',"a":', len(STANDARD_ORDER), False),)


@pytest.fixture(autouse=True)
def built():
    """The compiled part; where it could not be built, each test says what it needs."""
    if _speedups is None:
        need("a C compiler", "Python's headers")
    assert _speedups is not None, "the compiled part was not built, although it could have been"


def test_the_special_sources():
    """The numbers above are those of the compiled part."""
    assert (_speedups.CONSTANT, _speedups.STAMP) == (LOWEST_SOURCE, STAMP)


def encode(value):
    """A value as JSON."""
    return json.dumps(value).encode()


def writer(**changes):
    """A writer as a formatter makes it, with some arguments changed."""
    usual = {"standard": STANDARD_ORDER, "special": "special", "encode": encode, "clock": str}
    usual |= {"encode_refused": encode, "finish": bytes, "shorten": bytes}
    return _speedups.LineWriter(**{**usual, "rfc3339": False, "max_bytes": 0, **changes})


def no_ids():
    """No trace id and no span id."""
    return None, None


def test_a_writer_that_was_not_initialised():
    """It learns no plan, and makes and writes no line."""
    blank = _speedups.LineWriter.__new__(_speedups.LineWriter)

    with pytest.raises(TypeError, match="__init__"):
        blank.learn(ATTRIBUTES, False, PARTS)
    blank.forget()
    assert blank.line(record_of(a=1).__dict__) is None
    assert not blank.write(None, record_of(a=1))
    assert blank.write_event(None, None) is None


def test_a_writer_whose_initialisation_failed():
    """It learns no plan, and can be initialised again."""
    blank = _speedups.LineWriter.__new__(_speedups.LineWriter)
    with pytest.raises(ValueError, match="no name"):
        blank.__init__((), "special", encode, encode, bytes, bytes, str, False, 0)
    with pytest.raises(TypeError, match="__init__"):
        blank.learn(ATTRIBUTES, False, PARTS)

    blank.__init__(STANDARD_ORDER, "special", encode, encode, bytes, bytes, str, False, 0)
    blank.learn(ATTRIBUTES, False, PARTS)
    assert blank.line(record_of(a=1).__dict__) == b'{"a":1}'
    with pytest.raises(TypeError, match="once"):
        blank.__init__(STANDARD_ORDER, "special", encode, encode, bytes, bytes, str, False, 0)


def test_standard_attributes_that_are_no_texts():
    """A writer whose standard attributes are not text is refused."""
    with pytest.raises(TypeError, match="standard"):
        writer(standard=(*STANDARD_ORDER, 5))


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ((None,), TypeError),
        (([b"", 0, False],), TypeError),
        ((("text", 0, False),), TypeError),
        (((b"", 0),), TypeError),
        (((b"", len(ATTRIBUTES), False),), ValueError),
        (((b"", LOWEST_SOURCE - 1, False),), ValueError),
        (((b"", STAMP, True),), ValueError),
        ((*PARTS, None), TypeError),
    ],
)
def test_parts_that_are_none(parts, error):
    """A part that is not a text, a source and a flag is refused, and no plan is learnt."""
    taught = writer()
    with pytest.raises(error):
        taught.learn(ATTRIBUTES, False, parts)
    assert taught.line(record_of(a=1).__dict__) is None

    taught.learn(ATTRIBUTES, False, PARTS)
    assert taught.line(record_of(a=1).__dict__) == b'{"a":1}'


def test_a_trace_variable_without_a_default():
    """It is refused even if it has a value now, since there may be none when a record is written."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("here")

    with pytest.raises(ValueError, match="default"):
        _speedups.trace_by(TraceIdFilter, variable, no_ids, ())


def test_a_variable_of_fields():
    """It must be a context variable with a default."""
    with pytest.raises(TypeError, match="ContextVar"):
        _speedups.fields_by({})
    with pytest.raises(ValueError, match="default"):
        _speedups.fields_by(contextvars.ContextVar("variable"))


@pytest.mark.parametrize("signs", [({},), ([], "key"), ({}, [])], ids=["no key", "no dict", "no hash"])
def test_signs_that_cannot_be_looked_up(signs):
    """Signs that are not dicts and keys are refused."""
    variable: contextvars.ContextVar[str | None] = contextvars.ContextVar("variable", default=None)

    with pytest.raises(TypeError):
        _speedups.trace_by(TraceIdFilter, variable, no_ids, signs)


@pytest.mark.parametrize("arguments", [(), (None,), (None, None, None)])
def test_another_number_of_arguments(arguments):
    """`write` and `write_event` take exactly a handler and a record or event."""
    for call in (writer().write, writer().write_event):
        with pytest.raises(TypeError):
            call(*arguments)


class Key:
    """A dict key with the hash of a name; its comparison with that name runs code."""

    def __init__(self, name):
        self.hash, self.act = hash(name), lambda: None

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        self.act()
        return False


@pytest.mark.parametrize(
    "name", ["filter", "formatter", "_byte_formatter", "filters", "_lost", "_stream", "_log"]
)
def test_a_handler_whose_dict_runs_code(tmp_path, name):
    """A record is written once even if the handler's attributes are replaced during their lookup."""
    handler = EventFileHandler(tmp_path / "app.log")
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())

    def replace():
        key.act = lambda: None  # the following code looks it up too
        handler.__dict__["filters"] = [TraceIdFilter()]
        handler.maxBytes += 10**6
        handler.__dict__["formatter"] = handler.__dict__["_byte_formatter"] = EventFormatter()
        key.act = replace

    key = Key(name)
    attributes = {key: None, **handler.__dict__}
    handler.__dict__.clear()
    handler.__dict__.update(attributes)
    key.act = replace
    for number in range(5):
        handler.handle(record_of(a=number))
    handler.close()

    lines = (tmp_path / "app.log").read_text().splitlines()
    assert [json.loads(line)["a"] for line in lines] == list(range(5))
