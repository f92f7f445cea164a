"""Secrets are in no line of a handler with a `RedactFilter`, and other handlers write what they did."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import string
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chora_logging.binding import bind
from chora_logging.context import TraceIdFilter
from chora_logging.errors import ConfigurationError, UnknownOptionError
from chora_logging.filtering.redaction import RedactFilter
from chora_logging.filtering.secret_names import SECRET_NAMES, SecretNames
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter, emit_event
from chora_logging.telemetry.event_emitter import _shared
from chora_logging.writing.buffered import BufferedEventFileHandler
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.documents import same_times
from tests.records import Raises, record_of

HIDDEN = "hunter2Zq"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlX3g"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{HIDDEN}\n-----END RSA PRIVATE KEY-----"
AWS = "AKIAIOSFODNN7EXAMPLE"
GITHUB = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
CARD, SPACED = "4111111111111111", "5500 0055 5555 5559"
BASIC = "Ym9iOmh1bnRlcjJacQ=="
SECRETS = (HIDDEN, JWT, AWS, GITHUB, CARD, SPACED, BASIC, "MIIE")


@dataclasses.dataclass
class User:
    name: str
    password: str


def event(text):
    """A typed event with *text* in it."""
    return ContentGeneratedEvent(
        content_config_id="c", generator_type="g", status="error", duration_ms=1, error_message=text
    )


def fails(text):
    """An exception of an exception, and so on, with *text* in each."""
    try:
        try:
            raise ValueError(f"{text} inner")
        except ValueError as error:
            raise RuntimeError(text) from error
    except RuntimeError:
        return sys.exc_info()


#: Forty ways in which secrets come into logs: message, arguments, further arguments of the call.
CASES = [
    (f"password={HIDDEN}", (), {}),
    (f"Password: {HIDDEN}, user: bob", (), {}),
    (f'{{"password": "{HIDDEN} with, \\"marks\\"", "user": "bob"}}', (), {}),
    (f"{{'apiKey': '{HIDDEN}'}}", (), {}),
    (f"https://bob:{HIDDEN}@example.org/", (), {}),
    (f"redis://:{HIDDEN}@example.org/0", (), {}),
    (f"GET /reset?user=bob&token={HIDDEN}&lang=en HTTP/1.1", (), {}),
    (f"GET /?user[password]={HIDDEN} HTTP/1.1", (), {}),
    (f"Authorization: Bearer {HIDDEN}", (), {}),
    (f"Authorization: Basic {BASIC}", (), {}),
    (f'Authorization: Digest username="bob", response="{HIDDEN}"', (), {}),
    (f"Cookie: theme=dark; sid={HIDDEN}", (), {}),
    (f"Set-Cookie: sid={HIDDEN}; HttpOnly", (), {}),
    (f"curl -H 'X-API-Key: {HIDDEN}' example.org", (), {}),
    (f"headers: [(b'authorization', b'{HIDDEN}')]", (), {}),
    (f"mysql --password {HIDDEN} --user bob", (), {}),
    (f"aws_secret_access_key = {HIDDEN}", (), {}),
    (f"sent Bearer {HIDDEN}77 to it", (), {}),
    (f"basic {BASIC}", (), {}),
    (f"id {JWT} expired", (), {}),
    (f"key {AWS} is old", (), {}),
    (f"pushed with {GITHUB}", (), {}),
    (f"paid with {CARD}", (), {}),
    (f"paid with {SPACED}.", (), {}),
    (f"loaded {KEY}", (), {}),
    ("password %s for %d users", (HIDDEN, 3), {}),
    ("token=%r", (HIDDEN,), {}),
    ("%(user)s has %(password)s", ({"user": "bob", "password": HIDDEN},), {}),
    ("payload %s", ({"credentials": {"secret": HIDDEN}},), {}),
    ("run %s", (["mysql", "--password", HIDDEN],), {}),
    ("%s and %s", (f"secret={HIDDEN}",), {}),
    ({"event": "login", "password": HIDDEN}, (), {}),
    ({"event": "login", "request": {"headers": [["Cookie", HIDDEN]]}}, (), {}),
    ("fields", (), {"extra": {"db_password": HIDDEN, "pin": [{"clientSecret": HIDDEN}]}}),
    ("fields", (), {"extra": {"url": f"https://bob:{HIDDEN}@example.org", "card": int(CARD)}}),
    ("fields", (), {"extra": {"user": User("bob", HIDDEN), "raw": f"token={HIDDEN}".encode()}}),
    ("fields", (), {"extra": {"env": [{"name": "DB_PASSWORD", "value": HIDDEN}], "token": 1}}),
    ("failed", (), {"exc_info": fails(f"token={HIDDEN}")}),
    (ValueError(f"secret={HIDDEN}"), (), {"stack_info": True}),
    (event(f"password={HIDDEN}"), (), {}),
]


def log_all():
    """Log all cases."""
    for message, arguments, further in CASES:
        logging.getLogger("shop").error(message, *arguments, **further)


def attach(*handlers):
    """Have the logger write to these handlers."""
    logger = logging.getLogger("shop")
    logger.propagate = False
    logger.handlers[:] = handlers
    for handler in handlers:
        if not isinstance(handler, logging.handlers.QueueHandler):
            handler.setFormatter(handler.formatter or EventFormatter())
    return handlers


def write_with(kind, folder):
    """Log all cases by a handler with a filter, between two without; return what all have written."""
    others = [io.StringIO(), io.StringIO()]
    listener = None
    if kind == "queue":
        writing = EventFileHandler(folder / "app.jsonl")
        writing.setFormatter(EventFormatter())
        waiting = queue.SimpleQueue()
        listener = logging.handlers.QueueListener(waiting, writing)
        handler = EventQueueHandler(waiting)
        listener.start()
    else:
        handler = writing = kind(folder / "app.jsonl") if kind else logging.NullHandler()
    handler.addFilter(RedactFilter())
    console = logging.StreamHandler(others[0])
    console.setFormatter(logging.Formatter("%(message)s"))
    attach(console, handler, logging.StreamHandler(others[1]))
    log_all()
    if listener is not None:
        listener.stop()
    writing.close()
    path = folder / "app.jsonl"
    return path.read_text() if path.exists() else "", [same_times(each.getvalue()) for each in others]


class TestSecrets:
    @pytest.mark.parametrize("kind", [EventFileHandler, BufferedEventFileHandler, "queue"])
    def test_forty_secrets(self, tmp_path, kind):
        """None of 40 secrets is in the file, each record is, and other handlers write them as before."""
        assert len(CASES) == 40
        logging.raiseExceptions = False  # of the console, for arguments that do not fit
        (_, before), (written, others) = [write_with(each, tmp_path) for each in (None, kind)]

        lines = written.splitlines()
        leaked = [line for line in lines if any(secret in line for secret in SECRETS)]
        assert (leaked, len(lines)) == ([], 40)
        assert [line for line in lines if "[redacted]" not in line] == []
        assert others == before

    def test_a_console_of_the_standard_library(self):
        """The text of a `StreamHandler` has no secret either, whatever other filters are beside ours."""
        seen = []
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        handler.addFilter(RedactFilter())
        handler.addFilter(lambda record: seen.append(record.getMessage()) or "old" not in seen[-1])
        attach(handler)
        logging.raiseExceptions = False
        log_all()

        text = handler.stream.getvalue()
        assert [secret for secret in SECRETS if secret in text + "".join(seen)] == []
        assert (len(seen), text.count("ERROR"), "key [redacted] is old" in text) == (40, 39, False)

    def test_on_a_logger(self):
        """On a logger it holds for all of its handlers, and not for those of other loggers."""
        handler = logging.StreamHandler(io.StringIO())
        attach(handler)
        logger = logging.getLogger("shop")
        logger.addFilter(RedactFilter())
        logger.error("password=%s", HIDDEN)

        assert json.loads(handler.stream.getvalue())["message"] == "password=[redacted]"

    def test_typed_events(self, tmp_path, monkeypatch):
        """An emitter has the filter by argument, after pickling too, or that of its file's handler."""
        emitter = EventEmitter(tmp_path / "own.jsonl", redact=RedactFilter())
        for each in (emitter, pickle.loads(pickle.dumps(emitter))):
            each.emit(event(f"password={HIDDEN}"))
            each.close()
        monkeypatch.setattr("chora_logging.telemetry.event_emitter._shared", {})
        handler = EventFileHandler(tmp_path / "shared.jsonl")
        handler.addFilter(RedactFilter())
        logging.getLogger("chora_events").addHandler(handler)
        given = event(f"password={HIDDEN}")
        emit_event(given)

        lines = (tmp_path / "own.jsonl").read_text() + (tmp_path / "shared.jsonl").read_text()
        found = [json.loads(line) for line in lines.splitlines()]
        assert [line["error_message"] for line in found] == ["password=[redacted]"] * 3
        assert {line["event_type"] for line in found} == {"chora.content_generated"}
        assert given.error_message == f"password={HIDDEN}"
        assert _shared == {}

    def test_own_names_and_patterns(self):
        """Names and patterns are added to the defaults, or are the only ones."""
        own = RedactFilter(fields=["iban"], patterns=[r"\bK-\d{4}\b"], replacement="***")
        only = RedactFilter(fields=["iban"], defaults=False)
        record = record_of("K-1234 IBAN=DE1 password=x", customerIban="DE2", token="t")

        clean = own.redacted(record)
        assert (clean.msg, clean.customerIban, clean.token) == ("*** IBAN=*** password=***", "***", "***")
        clean = only.redacted(record)
        assert (clean.msg, clean.customerIban, clean.token) == (
            "K-1234 IBAN=[redacted] password=x",
            "[redacted]",
            "t",
        )

    @pytest.mark.parametrize("filters", [(RedactFilter, TraceIdFilter), (TraceIdFilter, RedactFilter)])
    def test_bound_fields(self, filters):
        """Secrets of `bind` are replaced, whether the filter that adds them comes first or last."""
        handler = logging.StreamHandler(io.StringIO())
        handler.filters += [kind() for kind in filters]
        attach(handler)
        with bind(user_id=7, token=HIDDEN):
            logging.getLogger("shop").error("m")

        line = json.loads(handler.stream.getvalue())
        assert (line["user_id"], line["token"]) == (7, "[redacted]")

    def test_by_dict_config(self):
        """It is made by `dictConfig`, with options."""
        config = {
            "version": 1,
            "filters": {"redact": {"()": "chora_logging.RedactFilter", "fields": ["iban"]}},
            "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["redact"]}},
            "root": {"handlers": ["console"]},
        }
        code = f"import logging.config; logging.config.dictConfig({config}); logging.warning('iban=DE1')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert done.stderr == "iban=[redacted]\n"


KNOWN = SecretNames(SECRET_NAMES)
#: Text without a secret, nor the name of one, which would make the next item of a list a secret.
PLAIN = st.text(st.characters(exclude_characters=":=\"'", exclude_categories=["Nd"]), max_size=60).filter(
    lambda text: not KNOWN.any_in(text)
)
#: A longer one may be that of a card.
NUMBERS = st.integers(-(10**11), 10**11)
NAMES = st.text(string.ascii_lowercase[:8], min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.sampled_from(
    [Raises, object, lambda: b"\xff", lambda: {object(): 1}, lambda: {"password": Raises()}]
).map(lambda make: make())
MESSAGES = st.text(max_size=60) | OBJECTS | st.sampled_from(["%s password=%s", "%(token)s %d", "%"])


UNHURRIED = settings(max_examples=80, suppress_health_check=list(HealthCheck))


class TestOthers:
    @UNHURRIED
    @given(
        message=PLAIN,
        fields=st.dictionaries(NAMES, VALUES, max_size=4),
        arguments=st.lists(PLAIN, max_size=2),
    )
    def test_records_without_secrets_are_not_touched(self, message, fields, arguments):
        """A record without a secret is passed as it is, as the same object."""
        record = record_of(message, *arguments, **{f"x_{name}": value for name, value in fields.items()})

        assert RedactFilter().filter(record) is True

    @pytest.mark.parametrize(
        "text",
        [
            "used 512 tokens, max_tokens=512",
            "token expired; basic authentication failed; bearer authentication required",
            "at 1760702400123456 for order 4111111111111112",
            "password=, secret=null, token=None",
            "see https://example.org:8080/a?page=2&order=asc",
            "password=[redacted] and 'token': '[redacted]'",
            "4bf92f3577b34da6a3ce929d0e0e4736 12:34:56 a=b --verbose x",
        ],
    )
    def test_what_only_looks_similar(self, text):
        """Words, numbers and addresses that are no secrets stay, and so does what is redacted already."""
        assert RedactFilter().redacted(record_of(text, x=text)).__dict__["x"] == text

    @UNHURRIED
    @given(message=MESSAGES, arguments=st.lists(MESSAGES, max_size=3), value=VALUES | OBJECTS)
    def test_never_raises(self, message, arguments, value):
        """Any message, arguments and fields give a record, from which a line can be made."""
        record = record_of(message, *arguments, field=value, token=value)
        record.stack_info = value

        json.loads(EventFormatter().format(RedactFilter().redacted(record)))

    def test_the_callers_objects_are_not_changed(self):
        """Neither the record nor what it holds is changed."""
        inner = {"password": HIDDEN, "list": [("token", HIDDEN)]}
        record = record_of("%s", inner, field=inner)
        before = dict(record.__dict__)
        RedactFilter().redacted(record)

        assert record.__dict__ == before
        assert inner == {"password": HIDDEN, "list": [("token", HIDDEN)]}

    def test_a_record_that_cannot_be_checked(self):
        """If the stack is too full to look at a record, a record that says so takes its place."""
        deep = record_of(f"password={HIDDEN}")

        def down():
            try:
                return down()
            except RecursionError:
                return RedactFilter.redacted(filter_, deep)

        filter_ = RedactFilter()
        assert HIDDEN not in EventFormatter().format(down())


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"patterns": [""]}, "patterns must be regular expressions that match no empty text, got ''"),
            ({"patterns": ["("]}, "patterns must be valid regular expressions (missing ), unterminated"),
            ({"patterns": "abc"}, "patterns must be a list of regular expressions, got 'abc'"),
            ({"patterns": [b"abc"]}, "patterns must be regular expressions for text, got b'abc'"),
            ({"fields": "password"}, "fields must be a list of names of fields, got 'password'"),
            ({"fields": 5}, "fields must be a list of names of fields, got 5"),
            ({"fields": None}, "fields must be a list of names of fields, got None"),
            ({"json_default": 5}, "json_default must be callable, got 5"),
            ({"fields": ["_"]}, "fields must be a list of names of fields, got ['_']"),
            ({"fields": ["*"]}, "fields must be a list of names of fields, got ['*']"),
            ({"replacement": ""}, "replacement must be text, not empty, got ''"),
            ({"defaults": "maybe"}, "defaults must be true or false"),
        ],
    )
    def test_is_refused(self, options, message):
        """A bad value is an error in one sentence when the filter is made."""
        with pytest.raises(ConfigurationError) as caught:
            RedactFilter(**options)

        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(
        "pattern", ["(a+)+$", "(?:a|ab)*c", r"(\w+\s?)*x", "((x{2,})y?)+", "(.?)+x", "(?:a|ab?){25}!"]
    )
    def test_expressions_that_explode_are_refused(self, pattern):
        """An expression that repeats a repetition is refused, since `re` has no time limit."""
        with pytest.raises(ConfigurationError, match=r"without a repetition in another: no \(a\+\)\+, got"):
            RedactFilter(patterns=[pattern])

    @pytest.mark.parametrize(
        "pattern",
        [
            ".*token.*secret.*!",
            r"\w+\w+\w+\w+!",
            "(?s).*?a.*?a.*?a.*?a.*?b",
            r"(?:\w*a){5}!",
            r"(a|\w+)\w*!",
            "(?i)a+A+b",
            "[^x]*?(?=.*a.*b)c",
            "(?:ab)+(?:ab)+!",
            ".{0,90}a.{0,90}b",
            *(
                r"(?:\w{1,8}[ -]?){4,8};",
                r"(?:\w{1,8}-?){6}!",
                "(?:a{1,2}){25}b|a",
                "(?:aa?){25}b",
                "(?:a?a){25}!",
            ),
            *("(?:.{0,30}){5}b", "a?" * 24 + "b", r"\d{1,3}" * 14 + "x", "[ab]{0,9}" * 8 + "c"),
            *("(?P<q>a*)(?P=q)(?P=q)b", r"(?:\d{1,3},?)*;"),
        ],
    )
    def test_expressions_whose_repetitions_share_characters_are_refused(self, pattern):
        """They take time that grows with the cube of the text, or worse."""
        with pytest.raises(ConfigurationError, match=r"can match the same characters: \[\^,\]\*, or"):
            RedactFilter(patterns=[pattern])

    def test_other_expressions_are_taken(self):
        """Repetitions that a character ends, bounded ones, alternatives that begin differently."""
        RedactFilter(
            patterns=[
                r"(?:\d[ -]?){13,19}",
                r"(?:\d{4}[ -]?){4}",
                "(?:x|y)+z",
                r"[\w.+-]+@[\w-]+\.[\w.-]+",
                "(?:ab{1,3}){2}",
                "(?i)k-[0-9]+",
                r"tok-\w+",
                r"(?i)x-api-key: \S+",
                '"ssn": "[^"]*"',
                r"\bpin\s*=\s*\d+",
                "a.{0,30}b.{0,30}c",
                *(r"https?://\S+/?", r"(['\"])[^'\"]*\1", r"(?:\d{1,3}\.){3}\d{1,3}", r"acct_\d+(?:_\d+)?"),
                r"\+?\d{1,3}[ -]?\(?\d{1,4}\)?[ -]?\d{1,4}[ -]?\d{1,9}",
                r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?",
            ]
        )

    def test_an_unknown_option(self):
        """A misspelt option names the nearest."""
        with pytest.raises(UnknownOptionError, match="did you mean 'fields'"):
            RedactFilter(field=["x"])
