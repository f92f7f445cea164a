"""A filter that replaces secrets in records, for one handler and no other."""

from __future__ import annotations

import copy
import logging
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chora_logging import context
from chora_logging.binding import get_bound_fields
from chora_logging.errors import ConfigurationError
from chora_logging.filtering.expressions import parse_patterns
from chora_logging.filtering.placeholders import names_a_secret, secret_arguments
from chora_logging.filtering.redactor import Redactor
from chora_logging.filtering.replacing import use_instead
from chora_logging.filtering.secret_names import SECRET_NAMES, SecretNames
from chora_logging.formatting.fields import (
    STANDARD,
    exception_of,
    message_fields,
    rendered_message,
    strictly_read,
    text_of,
)
from chora_logging.formatting.values import default, encode_plain
from chora_logging.options import check_callable, checked_names, parse_flag
from chora_logging.schema import EVENT_MARK, FIELDS_ATTRIBUTE, SETTLED_ATTRIBUTE
from chora_logging.writing.queue_handler import FrozenEvent

_NOT_FIELDS = STANDARD | {"taskName", "trace_id", "span_id", SETTLED_ATTRIBUTE}
_NOT_CHECKED = "A record could not be checked for secrets"
_NO_STACK_LEFT = logging.makeLogRecord({"msg": _NOT_CHECKED, "levelname": "ERROR", "levelno": logging.ERROR})
_exceptions = logging.Formatter()
_trace_ids = context.TraceIdFilter()


class RedactFilter(logging.Filter):
    """Replace secrets in the records of a handler: in messages, arguments, fields, exceptions and stacks.

    Attach it to the *handler* that must not write secrets, or to an `EventQueueHandler` so that they do not
    enter the queue. Other handlers get the record unchanged: this one gets a copy if there is a secret.

    A secret is recognised

    - by its name: `password`, `passwd`, `passphrase`, `passcode`, `pwd`, `pass`, `secret`, `token`,
      `authorization`, `cookie`, `credential`, `jwt`, `otp`, `sig`, `ssn`, `cvv`, `cvc`, `card_number`,
      `basic_auth`, `http_auth`, `session_id`, `sessid`, and the keys `api_key`, `access_key`, `secret_key`,
      `private_key`, `signing_key`, `encryption_key`, `account_key` and `session_key`; in any spelling, as the
      end of a longer one (`db_password`, `X-API-Key`, `accessToken`; those of less than five letters only as
      a word of its own, as in `DB_PASS`) and before a number or a word such as `hash`, `old` and
      `confirmation` (`password2`). Its value is that of a field in any nesting, of a pair as headers have it,
      of an argument of a command (`--password x`, `['--password', 'x']`), and in text what follows the name
      (`token=…` in a URL, percent-encoded, too; `"secret": "…"` in JSON, however often in quotes;
      `Authorization: …`; `['password'] = …`; `<password>…</password>`), or an argument where a message has
      the name directly before `%s`;
    - by its form, in any text: bearer tokens, basic credentials, passwords in URLs, JSON Web Tokens, private
      keys, access keys of AWS, tokens of GitHub, GitLab, Slack, Stripe, Google, OpenAI, npm, Hugging Face and
      SendGrid, and card numbers whose check digit (Luhn) is right;
    - by your own *patterns*, which numbers and times are compared with as text.

    Never drops a record and never raises: a record that cannot be checked is replaced by one that says so.
    If the arguments do not fit a message that has a secret's name, none of them is shown.

    Not promised: that every secret is found. A password in a sentence ("it is hunter2") looks like any word;
    one without quotes ends at a space, so that of "password: correct horse" is found in part; one in the next
    line, or in an attribute (`<input name="password" value="…">`), is not found. Nor is what is encoded in
    another way, as by base64; nor the password of a short option (`-p x`), or in SQL. Not seen are the locals
    that a formatter of the program adds to an exception, its static fields, and the names of loggers, threads
    and processes. What only looks like a secret is replaced, too: one in forty numbers of 16 digits is like
    that of a card, and so is a word after a name ("token: expired", "pass: 7"). Not taken for secrets are
    yes and no, masks (`****`), and tokens of pages and language models (`nextPageToken`, `max_tokens`).

    On Python 3.10 and 3.11, where a filter cannot replace a record, it passes the copy to the handler
    itself. On every Python, objects other than builtin ones reach the formatter as plain values, as behind
    `EventQueueHandler`.

    Args:
        fields: Further names of secrets.
        patterns: Further regular expressions, as text or compiled; each match is a secret. One is refused
            that repeats a repetition, or whose repetitions can match the same characters with nothing
            between that ends the first: `.*a.*b` (write `[^a]*a` or `.{0,30}a`). One that begins with
            a repetition (`\\w+!`) may still take time that grows with the square of a word.
        replacement: The text in place of a secret.
        defaults: Whether to look for the names and forms above; without them, only for yours.
        json_default: Called with each object that JSON does not support; returns a replacement.

    Raises:
        ConfigurationError: An argument is invalid or unknown.

    Example:
        >>> record = logging.makeLogRecord({"msg": "GET /?token=%s", "args": ("abc",), "password": "hunter2"})
        >>> clean = RedactFilter().redacted(record)
        >>> clean.getMessage(), clean.password, record.password
        ('GET /?token=[redacted]', '[redacted]', 'hunter2')
    """

    @checked_names()
    def __init__(
        self,
        fields: Iterable[str] = (),
        patterns: Iterable[str | re.Pattern[str]] = (),
        *,
        replacement: str = "[redacted]",
        defaults: bool = True,
        json_default: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        given = list(fields) if isinstance(fields, Iterable) and not isinstance(fields, str) else [None]
        if not all(isinstance(name, str) and any(map(str.isalnum, name)) for name in given):
            raise ConfigurationError("fields", fields, "a list of names of fields")
        if not isinstance(replacement, str) or not replacement.strip():
            raise ConfigurationError("replacement", replacement, "text, not empty")
        check_callable("json_default", json_default)
        by_default = parse_flag("defaults", defaults)
        names = SecretNames((*(SECRET_NAMES if by_default else ()), *given))
        expressions = parse_patterns("patterns", patterns)
        self._redactor = Redactor(names, expressions, by_default, replacement, json_default or default)

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Pass *record* if it has no secret, else a copy without them."""
        clean = self.redacted(record)
        return True if clean is record else use_instead(self, clean)

    def redacted(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return *record* itself if it has no secret, else a copy without them."""
        try:
            settled = self._settled(record)
            changes = self._changes(settled)
        except Exception as error:  # of the caller's objects, or the stack is nearly full
            try:
                return _unchecked(record, error)
            except RecursionError:
                return _NO_STACK_LEFT
        if not changes:
            return record
        clean = _copy(settled)
        clean.__dict__.update(changes)
        return clean

    def _settled(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return *record*, or a copy with the bound fields if a `TraceIdFilter` could add secrets later."""
        if context.put_bound_fields is None or SETTLED_ATTRIBUTE in record.__dict__:
            return record
        bound = get_bound_fields()
        if all(self._redactor.field(name, value) is value for name, value in bound.items()):
            return record
        settled = _copy(record)
        _trace_ids.filter(settled)
        return settled

    def _changes(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the attributes that have secrets, with other values."""
        redactor, attributes = self._redactor, record.__dict__
        changes = self._changed_message(record)
        for name, value in attributes.items():
            if name in _NOT_FIELDS:
                continue
            clean = redactor.field(name, changes.get(name, value))
            if clean is not value:
                changes[name] = clean
        if record.exc_info or record.exc_text:
            info = exception_of(record)
            text = record.exc_text or (_exceptions.formatException(info) if info else "")
            clean = redactor.text(text_of(text))
            if clean != text:
                changes["exc_info"], changes["exc_text"] = None, clean
        if record.stack_info:
            clean = redactor.text(text_of(record.stack_info))
            if clean != record.stack_info:
                changes["stack_info"] = clean
        if "message" in attributes and "msg" in changes:  # of another handler's formatter
            changes["message"] = redactor.text(text_of(attributes["message"]))
        return changes

    def _changed_message(self, record: logging.LogRecord) -> dict[str, Any]:
        message: Any = record.msg
        if type(message) is str and not record.args:
            clean = self._redactor.text(message)
            return {} if clean is message else {"msg": clean}
        if type(message) is not str:
            if getattr(type(message), EVENT_MARK, False):
                return self._changed_event(message, record.__dict__.get("trace_id"))
            fields = message_fields(message)
            if fields is not None:
                clean = self._redactor.value(fields)
                return {} if clean is fields else {"msg": clean, "args": None}
        return self._changed_text(record)

    def _changed_event(self, event: Any, trace_id: Any) -> dict[str, Any]:
        fields = strictly_read(event.model_dump_json())
        clean = self._redactor.value(fields)
        if clean is fields:
            return {}
        if clean.get("trace_id", "") is None:
            clean["trace_id"] = trace_id
        return {"msg": FrozenEvent(encode_plain(clean).decode(), clean.get("trace_id"))}

    def _changed_text(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the message with its arguments filled in, if it has a secret."""
        redactor, rendered = self._redactor, record
        arguments = self._clean_arguments(record.args)
        if arguments is not record.args:
            rendered = _copy(record)
            rendered.args = arguments
        text, problems = rendered_message(rendered)
        named = redactor.named(text)
        places = named + redactor.formed(text)
        template, names = record.msg, redactor.names
        filled_in = record.args and not problems and type(template) is str
        if filled_in and (places or names_a_secret(template, names)):
            places += secret_arguments(template, arguments, text, names, named)
        clean, clean_problems = redactor.without(places, text), redactor.value(problems)
        if "args" in problems and names.any_in(text):  # which of them it names is not known
            clean_problems = {**clean_problems, "args": redactor.replacement}
        if rendered is record and clean is text and clean_problems is problems:
            return {}
        further = record.__dict__.get(FIELDS_ATTRIBUTE)
        changes: dict[str, Any] = {"msg": clean, "args": None}
        if clean_problems:
            changes[FIELDS_ATTRIBUTE] = {**clean_problems, **(further if isinstance(further, dict) else {})}
        return changes

    def _clean_arguments(self, arguments: Any) -> Any:
        """Return the arguments of a message without the secrets that have a name in them."""
        if isinstance(arguments, Mapping):
            return self._redactor.argument(arguments)
        if type(arguments) is not tuple:
            return arguments
        clean = tuple(
            self._redactor.argument(each) if isinstance(each, (dict, list, tuple)) else each
            for each in arguments
        )
        return arguments if all(map(operator.is_, clean, arguments)) else clean


def _copy(record: logging.LogRecord) -> logging.LogRecord:
    try:
        return copy.copy(record)
    except Exception:  # a subclass that cannot be copied
        return logging.makeLogRecord(record.__dict__)


def _unchecked(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """Return a record without content in place of one that could not be checked for secrets."""
    kept = ("name", "levelname", "levelno", "created", "msecs", "trace_id", SETTLED_ATTRIBUTE)
    attributes = {name: value for name, value in record.__dict__.items() if name in kept}
    message = f"{_NOT_CHECKED} ({type(error).__name__})"
    return logging.makeLogRecord({**attributes, "msg": message, "event": "record_not_checked"})
