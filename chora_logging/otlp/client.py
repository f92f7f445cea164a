"""Posts requests to a collector, and says what it has answered."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import gzip
import json
import math
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from chora_logging._version import __version__
from chora_logging.errors import MissingExtraError, NoAnswerError, RefusedError
from chora_logging.otlp.certificates import check_authorities
from chora_logging.otlp.endpoint import Endpoint, without_secrets
from chora_logging.otlp.probing import NEEDS_TLS, speaks_the_other
from chora_logging.otlp.proxies import proxy_for
from chora_logging.otlp.settings import CERTIFICATE, CLIENT_CERTIFICATE, Settings

#: How much of an answer is read, in bytes, and how much of its text is shown, in characters.
_READ_BYTES, _SHOWN_CHARACTERS = 64 * 1024, 300

#: The digits of a number of 64 bits, which may be text in JSON.
_MOST_DIGITS = 19

#: The longest pause that a collector can ask for, in seconds.
LONGEST_RETRY_AFTER_SECONDS = 3600.0

_CONNECT_SECONDS, _PROBE_SECONDS = 5.0, 1.0

#: The variables for certificates that all programs with `requests` use.
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

#: What a server does that is spoken to in the wrong of HTTP and HTTPS, if it says nothing.
_CUT_OFF = ("the connection was cut off", os.strerror(errno.ECONNRESET), os.strerror(errno.EPIPE))
_HAS_TLS = "it has TLS there, so use https://"
_HAS_NO_TLS = "it has no TLS there, so use http://"

#: Parts of OpenSSL's messages in lower case: there is no TLS; the client's own certificate or key is wrong.
_NO_TLS = ("wrong_version_number", "record layer", "packet length too long")
_OF_CLIENT_FILES = ("pem lib", "key values mismatch", "private key is encrypted")
_PROTOBUF = "application/x-protobuf"
_PAGES = {"text/html", "application/xhtml+xml"}
_COMPRESSION_LEVEL = 1
_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, _COMPRESSION_LEVEL),
    "deflate": lambda data: zlib.compress(data, _COMPRESSION_LEVEL),
    "none": lambda data: data,
}

_Result = TypeVar("_Result")


class Answer(NamedTuple):
    """The answer of a collector.

    Attributes:
        status: The status of HTTP.
        message: What it says, for people; may be empty.
        rejected: How many records of the request it has rejected for good.
        retry_after: How long it asks to wait, in seconds.
    """

    status: int
    message: str = ""
    rejected: int = 0
    retry_after: float = 0.0


class Client:
    """A client of one collector.

    Args:
        endpoint: Its address.
        settings: How to send.

    Raises:
        MissingExtraError: the extra `otlp` is not installed.
        ConfigurationError: a variable of the environment for proxies or certificates is invalid.

    For one event loop and one request at a time. `close` it.
    """

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        try:
            import requests  # noqa: F401
            from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: F401
        except ModuleNotFoundError as error:
            missing = "requests" if error.name == "requests" else "opentelemetry-proto"
            raise MissingExtraError(missing, "otlp") from None
        if endpoint.url.startswith("https:") and not settings.certificate:
            for name in list(filter(os.environ.get, _AUTHORITIES))[:1]:  # which `requests` uses then
                check_authorities(name, os.environ[name])
        self.endpoint = endpoint
        self._settings = settings
        self._proxy = proxy_for(endpoint.url)
        self._has_answered = False
        self._compress = _COMPRESS[settings.compression]
        self._session = self._new_session()

    async def send(self, request: bytes) -> Answer:
        """Post *request*, an `ExportLogsServiceRequest`, once, and return the answer.

        Raises:
            NoAnswerError: there was none in time; the records may have arrived all the same.
            RefusedError: there can be none until a person changes something.
        """
        timeout = self._settings.timeout
        session = self._session
        most = timeout + 1 + (0 if self._has_answered else 2 * _PROBE_SECONDS)
        try:
            # The client's own time-outs are of each step alone, and there is none for looking up a name.
            return await asyncio.wait_for(_in_thread(lambda: self._post(session, request)), most)
        except asyncio.TimeoutError:
            self._session = self._new_session()  # its thread still uses the other one
            raise NoAnswerError(str(self.endpoint), f"no answer within {timeout:g} s") from None

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._session.close()

    def _new_session(self) -> Any:
        import requests

        settings = self._settings
        session = requests.Session()
        session.auth = _leave_as_it_is  # else ~/.netrc would replace the header with the credentials
        session.headers.clear()
        session.headers.update(
            {
                "User-Agent": f"chora-logging/{__version__}",
                "Accept-Encoding": "identity",
                **settings.headers,
                "Content-Type": _PROTOBUF,
                **({} if settings.compression == "none" else {"Content-Encoding": settings.compression}),
            }
        )
        if settings.certificate:
            session.verify = settings.certificate
        if settings.client_certificate:
            key = settings.client_key
            session.cert = (settings.client_certificate, key) if key else settings.client_certificate
        return session

    def _post(self, session: Any, request: bytes) -> Answer:
        import requests

        timeout = self._settings.timeout
        try:
            with session.post(
                self.endpoint.url,
                data=self._compress(request),
                timeout=(min(_CONNECT_SECONDS, timeout), timeout),
                # A variable for all programs must not replace the one that is for this.
                verify=self._settings.certificate or None,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = response.raw.read(_READ_BYTES, decode_content=True)
        except requests.exceptions.Timeout:
            # A server without TLS may wait for the end of a line that never comes.
            is_likely = self.endpoint.url.startswith("https:")
            raise self._no_answer(f"no answer within {timeout:g} s", is_likely) from None
        except (OSError, requests.exceptions.RequestException) as error:
            raise self._explained(error) from None
        except Exception as error:  # of the library below, when an answer is cut off
            raise self._no_answer(f"no whole answer ({type(error).__name__})") from None
        if response.status_code == 400 and NEEDS_TLS.search(body) and not self._proxy:
            raise RefusedError(str(self.endpoint), _HAS_TLS)
        self._has_answered = True
        return self._answer(response.status_code, response.headers, body)

    def _explained(self, error: Exception) -> NoAnswerError | RefusedError:
        """Return why there was no answer; a person has to change what trying again does not."""
        import requests

        address, reason, text = str(self.endpoint), _innermost(error), str(error).lower()
        if isinstance(error, requests.exceptions.ProxyError) and self._proxy:
            if "only use http and not https" in text or any(each in text for each in _NO_TLS):
                return RefusedError(
                    address, f"{self._proxy} has no TLS there, so use http:// in {self._proxy.name}"
                )
            refused = RefusedError if "tunnel connection failed: 4" in text else NoAnswerError
            return refused(address, f"{self._proxy}: {reason}")
        if any(each in text for each in _NO_TLS):
            return RefusedError(address, _HAS_NO_TLS)
        if isinstance(error, requests.exceptions.SSLError):
            if "alert" in text or any(each in text for each in _OF_CLIENT_FILES):
                return RefusedError(address, f"{reason}: check {CLIENT_CERTIFICATE} and _CLIENT_KEY")
            if "certificate" in text:
                return RefusedError(address, f"{reason}: check {CERTIFICATE}")
        elif "invalid path" in text:  # a file of TLS that was there at the start
            return RefusedError(address, reason)
        return self._no_answer(reason)

    def _no_answer(self, reason: str, may_be_the_other: bool = False) -> NoAnswerError | RefusedError:
        address = str(self.endpoint)
        if self._proxy:
            return NoAnswerError(address, f"{reason}, through {self._proxy}")
        may_be_the_other = may_be_the_other or reason in _CUT_OFF
        if may_be_the_other and not self._has_answered and speaks_the_other(address, _PROBE_SECONDS):
            return RefusedError(address, _HAS_NO_TLS if address.startswith("https:") else _HAS_TLS)
        return NoAnswerError(address, reason)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        wait = _retry_after(headers.get("Retry-After", ""))
        if 200 <= status < 300:
            # Of a proxy that asks for a login, say; no answer of a collector begins with "<".
            if kind in _PAGES or body.lstrip()[:1] == b"<":
                what = "it answers with a page for people: is this the address of a collector?"
                raise RefusedError(str(self.endpoint), what)
            rejected, message = _partial_success(kind, body)
            return Answer(status, self._shown(message), rejected, wait)
        to = headers.get("Location", "")
        message = f"to {without_secrets(to)}" if to else _message(kind, body)
        return Answer(status, self._shown(message), 0, wait)

    def _shown(self, message: str) -> str:
        """Return *message* without what this client keeps secret, for people."""
        for value in self._settings.headers.values():
            for secret in {value, value.rpartition(" ")[2]}:
                if len(secret) > 3:
                    message = message.replace(secret, "…")
        message = " ".join(message.split())
        cut = message[:_SHOWN_CHARACTERS]
        return cut if cut == message else f"{cut}…"


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Return what *work* returns, from a thread for which nothing waits when the program ends."""
    done: Future[_Result] = Future()
    done.set_running_or_notify_cancel()  # else nobody could set the result of one that is cancelled

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="otlp", daemon=True).start()
    return await asyncio.wrap_future(done)


def _leave_as_it_is(request: _Result) -> _Result:
    return request


def _innermost(error: BaseException) -> str:
    """Return what the operating system or TLS has said; the layers above add the addresses of objects."""
    reason = type(error).__name__
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            reason = seen.strerror
        elif type(seen).__name__ in ("RemoteDisconnected", "IncompleteRead", "ProtocolError"):
            reason = _CUT_OFF[0]
        elif type(seen) is OSError and seen.args and isinstance(seen.args[0], str):
            reason = seen.args[0]  # of the packages for HTTP, such as what a proxy has said
        seen = seen.__cause__ or seen.__context__
    return reason


def _partial_success(kind: str, body: bytes) -> tuple[int, str]:
    """Return how many records were rejected, and why."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    if kind == "application/json":
        found = _json(body).get("partialSuccess")
        if not isinstance(found, dict):
            return 0, ""
        rejected = str(found.get("rejectedLogRecords") or 0)[:_MOST_DIGITS]
        return int(rejected) if rejected.isdecimal() else 0, str(found.get("errorMessage") or "")
    try:  # whatever its type is called: some collectors leave it out
        partial = ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        return 0, ""
    return max(0, partial.rejected_log_records), partial.error_message


def _message(kind: str, body: bytes) -> str:
    """Return the message of an error."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess

    if kind == _PROTOBUF:
        try:
            # An error is a `google.rpc.Status`, whose first fields, a number and a text, are like these.
            return ExportLogsPartialSuccess.FromString(body).error_message
        except DecodeError:
            return ""
    if kind == "application/json":
        found = _json(body)
        return str(found.get("message") or found.get("error") or "")
    return "" if kind == "text/html" else body.decode("utf-8", "replace")


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(text: str) -> float:
    """Return a `Retry-After` (RFC 9110, 10.2.3), seconds or a date, in seconds; 0 if it is none."""
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(0.0, wait), LONGEST_RETRY_AFTER_SECONDS) if math.isfinite(wait) else 0.0
