"""A collector for tests: an HTTP server that decodes requests with logs, and answers as it is told."""

from __future__ import annotations

import gzip
import http.server
import socket
import struct
import threading
import zlib
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

PROTOBUF = "application/x-protobuf"
INFLATE = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}


class Reply(NamedTuple):
    """What a collector answers; the records of the request count as stored below 300."""

    status: int = 200
    body: bytes = b""
    headers: dict = {}  # noqa: RUF012  # never changed
    kind: str = PROTOBUF


#: The request is read and never answered; the connection is reset in the middle of the answer.
SILENCE, RESET = "silence", "reset"


def rejecting(number, why):
    """An answer that says that so many records are rejected."""
    partial = ExportLogsPartialSuccess(rejected_log_records=number, error_message=why)
    return Reply(body=ExportLogsServiceResponse(partial_success=partial).SerializeToString())


class Stored(NamedTuple):
    """A record with where it comes from; `attributes` is a dict."""

    resource: dict
    scope: str
    record: object
    attributes: dict


class Collector:
    """Use it in a `with`.

    Args:
        answer: Called with each request and its number from 0; returns a `Reply`, `SILENCE` or `RESET`. It is
            an attribute, too.

    Attributes:
        requests: All requests that it could read, in order, with their headers.
        stored: The records of those that it has taken.
    """

    def __init__(self, answer=lambda request, number: Reply(), tls=None):
        self.answer = answer
        self.requests = []
        self.headers = []
        self.stored = []
        self._ended = threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = INFLATE[self.headers["Content-Encoding"]](body)
                collector._take(self, ExportLogsServiceRequest.FromString(body))

            def log_message(self, *arguments):
                """Print nothing."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Print nothing: clients are killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def address(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def numbers(self):
        """The field `n` of each record that it has stored."""
        return [stored.attributes["n"] for stored in self.stored if "n" in stored.attributes]

    def _take(self, handler, request):
        reply = self.answer(request, len(self.requests))
        self.requests.append(request)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        if reply == SILENCE:
            self._ended.wait()
            return
        if reply == RESET:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            handler.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
            handler.close_connection = True
            return
        if reply.status < 300:
            self.stored += stored_of(request)
        handler.send_response(reply.status)
        headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body)), **reply.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)


def stored_of(request):
    """The records of a request, in order."""
    found = []
    for logs in request.resource_logs:
        resource = _dict(logs.resource.attributes)
        for scope in logs.scope_logs:
            found += [
                Stored(resource, scope.scope.name, record, _dict(record.attributes))
                for record in scope.log_records
            ]
    return found


def value_of(value):
    """An `AnyValue` as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return _dict(value.kvlist_value.values)
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _dict(pairs):
    names = [pair.key for pair in pairs]
    assert len(names) == len(set(names)), names
    return {pair.key: value_of(pair.value) for pair in pairs}
