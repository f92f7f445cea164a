"""Shipping to a collector, whatever it answers: each line at least once, in order, none lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from email.utils import formatdate

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess

from chora_logging.eventlog import EventLog
from chora_logging.otlp import client as clients
from chora_logging.otlp.client import Client
from chora_logging.otlp.endpoint import Endpoint
from chora_logging.otlp.settings import Settings
from chora_logging.otlp.shipping import Shipment
from chora_logging.shipping.loop import ship
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.state import State
from tests.jetstream.shippers import written
from tests.otlp.collector import PROTOBUF, RESET, SILENCE, Collector, Reply, rejecting, stored_of

SECRET = "s3cret-t0ken"


class Shipping:
    """A log, and the files of its shipper."""

    def __init__(self, folder):
        self.path = folder / "app.log"
        self.state = folder / ".app.otlp"
        self.oversize = folder / ".app.oversize"
        self.pauses = []

    def write(self, numbers, **more):
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps({"message": "step", "n": n, **more}) + "\n" for n in numbers)

    def ship(self, collector, *, enough=None, **settings):
        """Ship what the log has now, or until *enough* pauses, and return the progress."""
        return asyncio.run(self._ship(collector, enough, Settings(**settings)))

    async def _ship(self, collector, enough, settings):
        stop = asyncio.Event()

        async def sleep(seconds):
            self.pauses.append(seconds)
            if len(self.pauses) == enough:
                raise Enough

        log = EventLog(self.path)
        with (
            contextlib.closing(Client(Endpoint.parse(collector.address), settings)) as client,
            contextlib.closing(State(str(self.state), log.path, is_only=True)) as state,
            contextlib.closing(Oversize(str(self.oversize))) as oversize,
            contextlib.closing(
                Shipment(
                    client, log, resource={"service.name": "app"}, state=state, oversize=oversize, sleep=sleep
                )
            ) as shipment,
        ):
            with contextlib.suppress(Enough):
                await ship(log, shipment, live=False, stop=stop)
            return shipment.progress

    def kept(self):
        """The numbers of the lines that are kept because the collector refused them."""
        if not self.oversize.exists():
            return []
        return [json.loads(line)["n"] for line in self.oversize.read_bytes().splitlines()]


class Enough(Exception):  # ends a test
    pass


@pytest.fixture
def shipping(tmp_path):
    return Shipping(tmp_path)


def numbers_in(request):
    return [stored.attributes.get("n") for stored in stored_of(request)]


def first(replies):
    """Answer with these in turn, and then well."""
    return lambda request, number: replies[number] if number < len(replies) else Reply()


class TestWell:
    @pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
    def test_all_once(self, shipping, compression):
        """All lines arrive in order, with where they come from; later ones follow, and none twice."""
        written(shipping.path, 600, size=50_000)
        headers = {"authorization": f"Bearer {SECRET}", "x-scope": "a"}
        with Collector() as collector:
            shipping.ship(collector, compression=compression, headers=headers)
            progress = shipping.ship(collector)
            assert progress.lines == 0
            shipping.write(range(600, 610))
            progress = shipping.ship(collector)

        assert collector.numbers() == list(range(610))
        assert (progress.lines, progress.problem) == (10, "")
        assert {each.resource["service.name"] for each in collector.stored} == {"app"}
        assert collector.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert collector.headers[0].get("content-encoding", "none") == compression
        assert shipping.kept() == []

    def test_gap(self, shipping, caplog):
        """What rotation has deleted unshipped is one gap, before the lines that follow."""
        written(shipping.path, 10)
        with Collector() as collector:
            shipping.ship(collector)
            written(shipping.path, 500, first=10, size=10_000, keep=2)
            progress = shipping.ship(collector)

        names = [each.record.event_name for each in collector.stored]
        place = names.index("gap")
        rest = collector.numbers()[10:]
        assert (names.count("gap"), progress.gaps) == (1, 1)
        assert f"events of {shipping.path} are missing in what is shipped: " in caplog.text
        assert collector.stored[place].record.severity_number == 13
        assert collector.stored[place].scope == "chora_logging"
        assert rest == list(range(rest[0], 510))
        assert collector.stored[place + 1].attributes["n"] == rest[0]


class TestTrouble:
    @pytest.mark.parametrize(
        ("reply", "said", "needs_a_person"),
        [
            (Reply(503, b"busy", kind="text/plain"), "it answers 503 (busy)", False),
            (Reply(429), "it answers 429", False),
            (RESET, "Connection reset by peer", False),
            (SILENCE, "no answer within 0.3 s", False),
            (
                Reply(401, f"no {SECRET}".encode(), kind="text/plain"),
                "check OTEL_EXPORTER_OTLP_HEADERS",
                True,
            ),
            (Reply(404, b"<html>", kind="text/html"), "check the path of the address", True),
            (Reply(302, headers={"Location": "https://other/"}), "address that it redirects to", True),
            (
                Reply(302, headers={"Location": f"https://u:{SECRET}@other/?t={SECRET}#{SECRET}"}),
                "302 (to https://…other/…)",
                True,
            ),
            (Reply(304), "it answers 304", True),
            (Reply(200, b"<html>Log in", kind="text/html"), "a page for people", True),
            (Reply(200, b"\n<!DOCTYPE html>Log in", kind=""), "a page for people", True),
            (Reply(200, b"<?xml version='1.0'?>", kind="text/plain"), "a page for people", True),
        ],
    )
    def test_passes(self, shipping, caplog, reply, said, needs_a_person):
        """It waits, says why once and without secrets, and goes on where it was: nothing is lost."""
        shipping.write(range(10))
        headers = {"authorization": f"Bearer {SECRET}"}
        with Collector(first([reply] * 3)) as collector:
            timeout = 0.3 if reply == SILENCE else 10
            progress = shipping.ship(collector, timeout=timeout, headers=headers)

        assert collector.numbers()[-10:] == list(range(10))
        assert sum(said in record.getMessage() for record in caplog.records) == 1
        assert SECRET not in caplog.text
        assert (progress.resends, progress.problem, len(shipping.pauses)) == (3, "", 3)
        assert shipping.kept() == []
        assert (shipping.pauses[0] > 10) == needs_a_person

    def test_nobody_there(self, shipping, caplog):
        """A collector that is not there is awaited; a restart begins where the last answer was."""
        shipping.write(range(10))
        with Collector() as collector:
            pass
        progress = shipping.ship(collector, enough=3)

        assert "Connection refused" in caplog.text
        assert (progress.lines, progress.kind) == (0, "no_answer")

    @pytest.mark.parametrize("form", ["seconds", "date", "nonsense", "too much"])
    def test_retry_after(self, shipping, form):
        """`Retry-After` is obeyed, whichever form it has."""
        value = {
            "seconds": "7",
            "date": formatdate(time.time() + 100),
            "nonsense": "soon",
            "too much": "1e99",
        }
        shipping.write(range(3))
        with Collector(first([Reply(429, headers={"Retry-After": value[form]})])) as collector:
            shipping.ship(collector)
        (pause,) = shipping.pauses

        assert collector.numbers() == [0, 1, 2]
        if form == "seconds":
            assert pause == 7
        elif form == "date":
            assert 50 < pause <= 100
        else:
            assert pause == clients.LONGEST_RETRY_AFTER_SECONDS if form == "too much" else pause < 1


class TestRefusedRecords:
    def test_one_record(self, shipping, caplog):
        """A batch with a bad record is halved until that is alone; it is kept, counted and said."""
        shipping.write(range(1000))
        why = ExportLogsPartialSuccess(error_message="bad n").SerializeToString()  # like a Status

        def answer(request, number):
            return Reply(400, why) if {313, 314, 900} & set(numbers_in(request)) else Reply()

        with Collector(answer) as collector:
            progress = shipping.ship(collector)

        assert collector.numbers() == [n for n in range(1000) if n not in (313, 314, 900)]
        assert shipping.kept() == [313, 314, 900]
        assert (progress.rejected, progress.lines) == (3, 997)
        assert len(collector.requests) < 100
        reports = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert f"rejects 1 record of {shipping.path} for good" in reports[0]
        assert reports[0].endswith(f"their lines are in {shipping.oversize}: 400 bad n")
        assert [text.partition(" rejects ")[2].partition(" ")[0] for text in reports] == ["1", "2"]

    def test_reasons(self, shipping, caplog):
        """Each reason is told, of those that are told together, and none that was not one."""
        shipping.write(range(10))
        shipping.write([10], pad="y" * 2_000_000)
        refusals = {3: Reply(400, b"bad n", kind="text/plain"), 5: Reply(400, b"bad n", kind="text/plain")}
        refusals[7] = Reply(422, b"third", kind="text/plain")

        def answer(request, number):
            found = [refusals[n] for n in numbers_in(request) if n in refusals]
            return Reply(413) if request.ByteSize() > 100_000 else (found or [Reply()])[0]

        with Collector(answer) as collector:
            shipping.ship(collector)

        told = [each.getMessage() for each in caplog.records if " rejects " in each.getMessage()]
        assert [text.partition(f"{shipping.oversize}: ")[2] for text in told] == [
            "400 bad n",
            "400 bad n (1), 422 third (1)",
        ]

    def test_many_that_are_cut(self, shipping, caplog):
        """Lines that are cut are told once, and then together."""
        shipping.write(range(30), pad="y" * 1000)

        def answer(request, number):
            return Reply(413 if any("pad" in each.attributes for each in stored_of(request)) else 200)

        with Collector(answer) as collector:
            shipping.ship(collector)

        told = [each.getMessage().partition(": ")[2].partition(",")[0] for each in caplog.records]
        assert [told[0][:17], told[1]] == ["a line of 1039 by", "29 lines"]
        assert len(told) == 2
        assert shipping.kept() == list(range(30))

    def test_everything(self, shipping, caplog):
        """A collector that refuses even an empty request is wrong itself: no line is given up."""
        shipping.write(range(100))
        with Collector(lambda request, number: Reply(400 if number < 40 else 200)) as collector:
            progress = shipping.ship(collector)

        assert collector.numbers() == list(range(100))
        assert (progress.rejected, shipping.kept()) == (0, [])
        assert "it answers 400" in caplog.text

    def test_everything_after_a_gap(self, shipping):
        """A gap is not given up either."""
        written(shipping.path, 10)
        with Collector() as collector:
            shipping.ship(collector)
            shipping.path.unlink()
            shipping.write([10], pad="y" * 300)
            refused = len(collector.requests) + 5
            collector.answer = lambda request, number: Reply(400 if number < refused else 200)
            shipping.ship(collector)

        assert [each.record.event_name for each in collector.stored].count("gap") == 1
        assert collector.numbers() == list(range(11))
        assert shipping.kept() == []

    def test_gap_before_a_bad_record(self, shipping):
        """A bad record after a gap does not take the gap with it."""
        written(shipping.path, 10)
        with Collector() as collector:
            shipping.ship(collector)
            shipping.path.unlink()
            shipping.write([10], pad="y" * 300)
            collector.answer = lambda request, number: Reply(400 if 10 in numbers_in(request) else 200)
            shipping.ship(collector)

        assert [each.record.event_name for each in collector.stored].count("gap") == 1
        assert shipping.kept() == [10]

    @pytest.mark.parametrize("reply", [Reply(400), rejecting(1, "no room")], ids=["refused", "rejected"])
    def test_nowhere_to_keep_it(self, shipping, caplog, reply):
        """While a refused line cannot be kept the shipper waits, says so, and goes on after the line then."""
        shipping.oversize.mkdir()
        shipping.write([0])
        shipping.write(range(1, 4))

        def answer(request, number):
            return reply if 0 in numbers_in(request) else Reply()

        with Collector(answer) as collector:
            progress = shipping.ship(collector, enough=3)
            assert progress.needs_a_person
            assert progress.end is None
            assert (
                f"waits: {shipping.oversize}: Is a directory, so no refused line can be kept" in caplog.text
            )
            shipping.oversize.rmdir()
            shipping.ship(collector)

        assert 0 in shipping.kept()
        assert [number for number in collector.numbers() if number][-3:] == [1, 2, 3]

    def test_partial_success(self, shipping, caplog):
        """Records that are rejected by a success are counted, and their batch is kept, and not sent again."""
        shipping.write(range(100))
        with Collector(first([rejecting(2, "no room")])) as collector:
            progress = shipping.ship(collector)
            shipping.write([100])
            collector.answer = lambda request, number: rejecting(0, "hurry")
            shipping.ship(collector)

        assert collector.numbers() == list(range(101))
        assert (progress.rejected, progress.lines) == (2, 98)
        assert shipping.kept() == list(range(100))
        assert f"rejects 2 records of {shipping.path} for good" in caplog.text
        assert "no room" in caplog.text
        assert "hurry" in caplog.text

    def test_partial_success_as_json(self, shipping):
        """A collector may answer in JSON, whose 64-bit numbers are texts."""
        shipping.write(range(10))
        body = json.dumps({"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "x"}}).encode()
        with Collector(first([Reply(200, body, kind="application/json; charset=utf-8")])) as collector:
            assert shipping.ship(collector).rejected == 3

    @pytest.mark.parametrize("kind", ["application/octet-stream", "application/protobuf", "", "text/plain"])
    def test_partial_success_of_another_type(self, shipping, kind):
        """What was rejected is kept, whatever the answer says that it is."""
        shipping.write(range(10))
        with Collector(first([rejecting(3, "x")._replace(kind=kind)])) as collector:
            assert shipping.ship(collector).rejected == 3

        assert shipping.kept() == list(range(10))

    def test_a_number_that_no_int_holds(self, shipping):
        """More digits than Python reads are many records, and the shipper goes on."""
        shipping.write(range(10))
        body = json.dumps({"partialSuccess": {"rejectedLogRecords": "9" * 5000}}).encode()
        with Collector(first([Reply(200, body, kind="application/json")])) as collector:
            assert shipping.ship(collector).rejected == 10

    def test_too_large(self, shipping, caplog):
        """A batch that is too large is halved; a line that is too large is cut, marked and kept whole."""
        shipping.write(range(50))
        shipping.write([50], pad="y" * 2_000_000)
        shipping.write(range(51, 60))

        def answer(request, number):
            return Reply(413 if request.ByteSize() > 100_000 or len(numbers_in(request)) > 10 else 200)

        with Collector(answer) as collector:
            progress = shipping.ship(collector)
        (cut,) = (each.attributes for each in collector.stored if each.attributes.get("truncated"))

        assert collector.numbers() == [n for n in range(60) if n != 50]
        assert cut["line_bytes"] > 2_000_000
        assert shipping.kept() == [50]
        assert (progress.oversize, progress.rejected) == (1, 0)
        assert f"the whole is in {shipping.oversize}" in caplog.text

    @pytest.mark.parametrize(
        ("size", "limit"), [(3000, 2000), (50_000, 40_000), (300_000, 60_000), (300_000, 5_000)]
    )
    def test_cut_to_what_it_takes(self, shipping, size, limit):
        """What is sent for a line that is too large is smaller than it, until the collector takes it."""
        shipping.write([0, 1], text="x" * 40)
        shipping.write([2], pad="\u00e9" * (size // 2))
        shipping.write([3])
        with Collector(
            lambda request, number: Reply(413 if request.ByteSize() > limit else 200)
        ) as collector:
            progress = shipping.ship(collector)
        alone = [each for each in collector.requests if len(stored_of(each)) == 1]
        (cut,) = (each.attributes for each in collector.stored if each.attributes.get("truncated"))

        assert collector.numbers() == [0, 1, 3]
        assert cut["line_bytes"] > size
        assert max(each.ByteSize() for each in alone[1:]) < alone[0].ByteSize()
        assert shipping.kept() == [2]
        assert (progress.oversize, progress.rejected, progress.lines) == (1, 0, 4)

    def test_not_even_its_beginning(self, shipping, caplog):
        """A line for which nothing smaller is taken is kept once, counted and said; the others arrive."""
        shipping.write([0])
        shipping.write([1], pad="y" * 5000)
        shipping.write([2], pad="y")
        shipping.write([3])

        def answer(request, number):
            marks = {"pad", "truncated"}
            return Reply(413 if any(marks & {*each.attributes} for each in stored_of(request)) else 200)

        with Collector(answer) as collector:
            progress = shipping.ship(collector)

        assert collector.numbers() == [0, 3]
        assert shipping.kept() == [1, 2]
        assert (progress.oversize, progress.rejected, progress.lines) == (2, 2, 2)
        assert f"rejects 1 record of {shipping.path} for good; their lines are in" in caplog.text
        assert len(collector.requests) < 20

    def test_longest_line(self, shipping):
        """A line that no reader takes is replaced by its beginning."""
        with open(shipping.path, "wb") as file:
            file.write(b'{"n": 0}\n{"pad": "' + b"y" * (33 * 2**20) + b'"}\n{"n": 1}\n')
        with Collector() as collector:
            progress = shipping.ship(collector)

        assert collector.numbers() == [0, 1]
        assert progress.oversize == 1
        assert [each.attributes.get("truncated") for each in collector.stored] == [None, True, None]


class TestHostileAnswers:
    @pytest.mark.parametrize(
        "reply",
        [
            Reply(200, b"\xff" * 1000),
            Reply(204),
            Reply(200, b"[1, 2", kind="application/json"),
            Reply(200, b"x" * 1_000_000, kind="text/plain"),
            Reply(400, b"\xff\x00", kind="text/plain"),
            Reply(503, b'{"message": {"a": 1}}', kind="application/json"),
            Reply(503, b"\xff\xff", kind=PROTOBUF),
        ],
    )
    def test_never_raises(self, shipping, reply):
        """Whatever a collector answers, the shipper goes on."""
        shipping.write(range(4))
        with Collector(first([reply] * (reply.status >= 400) or [reply])) as collector:
            shipping.ship(collector)

        assert collector.numbers() == [0, 1, 2, 3]
