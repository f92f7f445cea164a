"""`BufferedEventFileHandler` in one process: when lines are written, and to which file; failing disks."""

from __future__ import annotations

import errno
import gc
import io
import json
import logging
import logging.config
import os
import select
import sys
import threading
import time
import types
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging import BufferedEventFileHandler, EventFileHandler
from chora_logging.errors import BufferFullError, ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing import buffered
from tests.accounting import bytes_of, files_of, lines_of, snapshot
from tests.writing.test_handler_stdlib import results_of

#: Longer than any test, so that the timer writes nothing.
NEVER = 1000


class Handler(BufferedEventFileHandler):
    """Collects the records that were reported as not written, and their errors."""

    def __init__(self, *args, **options):
        self.refused = []
        super().__init__(*args, **options)

    def handleError(self, record):
        self.refused.append((str(record.msg) % record.args if record.args else record.msg, sys.exc_info()[1]))


@pytest.fixture
def open_log(tmp_path):
    """Make loggers with one handler each, closed after the test."""
    handlers = []

    def make(name="app.log", kind=Handler, formatter=None, **options):
        handler = kind(tmp_path / name, **{"flush_interval": NEVER, **options})
        handler.setFormatter(formatter or logging.Formatter("%(message)s"))
        handlers.append(handler)
        logger = logging.Logger("test", logging.DEBUG)
        logger.addHandler(handler)
        return logger

    yield make
    for handler in handlers:
        handler.close()


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes only `room` more bytes, unless `room` is None."""
    state = types.SimpleNamespace(room=None, writes=0)
    original = os.write

    def write(fd, data):
        state.writes += 1
        if state.room is None:
            return original(fd, data)
        if not state.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[: state.room]
        state.room -= len(data)
        return original(fd, data)

    monkeypatch.setattr(os, "write", write)
    return state


def log(logger, *numbers, level=logging.INFO):
    """Log a line for each number."""
    for number in numbers:
        logger.log(level, "line %d", number)


def expected(*numbers):
    """The lines that `log` makes."""
    return [b"line %d" % number for number in numbers]


def wait_for(condition):
    """Return when a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class TestWhen:
    """The events that have buffered lines written."""

    def test_they_are_gathered(self, tmp_path, open_log, disk):
        """A call leaves the file alone; flush() writes everything logged before it, with one write."""
        logger = open_log()
        log(logger, *range(500))
        assert (tmp_path / "app.log").read_bytes() == b""

        logger.handlers[0].flush()

        assert lines_of(tmp_path / "app.log") == expected(*range(500))
        assert disk.writes == 1

    @pytest.mark.parametrize("when_full", ["block", "drop"])
    def test_interval(self, tmp_path, open_log, when_full):
        """Without a further call the lines are written after the interval."""
        logger = open_log(flush_interval=0.01, when_full=when_full)
        for number in range(3):
            log(logger, number)
            wait_for(lambda number=number: lines_of(tmp_path / "app.log") == expected(*range(number + 1)))

    def test_size(self, tmp_path, open_log):
        """The call that reaches the size writes them."""
        logger = open_log(flush_size=70)
        log(logger, *range(9))
        assert (tmp_path / "app.log").read_bytes() == b""

        log(logger, 9)

        assert lines_of(tmp_path / "app.log") == expected(*range(10))

    @pytest.mark.parametrize("level", ["WARNING", "warning", 30, "30"])
    def test_level(self, tmp_path, open_log, level):
        """A record of the level is written, with all before it, when its call returns."""
        logger = open_log(flush_level=level)
        log(logger, 0, 1)
        assert (tmp_path / "app.log").read_bytes() == b""

        log(logger, 2, level=logging.WARNING)

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)

    def test_no_level(self, tmp_path, open_log):
        """A handmade record without a level is written immediately."""
        open_log().handlers[0].handle(logging.makeLogRecord({"msg": "line 0"}))

        assert lines_of(tmp_path / "app.log") == expected(0)

    def test_size_and_level_without_waiting(self, tmp_path, open_log):
        """With when_full="drop" the handler's thread writes them, immediately; no call writes."""
        logger = open_log(flush_size=70, when_full="drop")
        log(logger, *range(10))
        wait_for(lambda: lines_of(tmp_path / "app.log") == expected(*range(10)))
        log(logger, 10, level=logging.ERROR)
        wait_for(lambda: lines_of(tmp_path / "app.log") == expected(*range(11)))

    def test_close(self, tmp_path, open_log):
        """close() writes all; a late record is written immediately, and no descriptor stays open."""
        logger = open_log()
        before = len(os.listdir("/proc/self/fd"))
        log(logger, 0, 1)
        logger.handlers[0].close()
        logger.handlers[0].close()
        assert lines_of(tmp_path / "app.log") == expected(0, 1)

        log(logger, 2)

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)
        assert len(os.listdir("/proc/self/fd")) == before - 1

    def test_close_of_a_truncating_handler(self, tmp_path, open_log):
        """After close() with mode="w" a late record is dropped, as by the handler without a buffer."""
        logger = open_log(mode="w", maxBytes=0)
        log(logger, 0)
        logger.handlers[0].close()
        log(logger, 1)

        assert lines_of(tmp_path / "app.log") == expected(0)

    def test_fork(self, tmp_path, open_log):
        """All is written before a fork; the child starts with an empty buffer and its own thread."""
        logger = open_log()
        log(logger, 0, 1)
        pid = os.fork()
        if not pid:
            handler = logger.handlers[0]
            inherited = lines_of(tmp_path / "app.log") == expected(0, 1)
            handler.flush_interval = 0.01
            log(logger, 2)
            wait_for(lambda: len(lines_of(tmp_path / "app.log")) == 3)
            os._exit(0 if inherited else 1)
        assert os.waitpid(pid, 0)[1] == 0
        log(logger, 3)
        logger.handlers[0].flush()

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2, 3)

    def test_by_hand(self, tmp_path, open_log):
        """doRollover() writes the buffered lines into the file that it rotates."""
        logger = open_log()
        log(logger, 0)
        logger.handlers[0].doRollover()
        log(logger, 1)
        logger.handlers[0].flush()

        assert [bytes_of(path) for path in files_of(tmp_path / "app.log")] == [b"line 0\n", b"line 1\n"]

    def test_other_stream(self, tmp_path, open_log):
        """Lines go to the stream that the handler has when they are logged."""
        logger = open_log()
        log(logger, 0)
        before = logger.handlers[0].setStream(stream := io.StringIO())
        log(logger, 1, 2)
        logger.handlers[0].setStream(before)
        log(logger, 3)
        logger.handlers[0].flush()

        assert stream.getvalue() == "line 1\nline 2\n"
        assert lines_of(tmp_path / "app.log") == expected(0, 3)

    def test_a_forgotten_handler(self, tmp_path):
        """A handler without references writes its buffer and is collected, and its thread ends."""
        handler = Handler(tmp_path / "app.log", flush_interval=0.01)
        stream, others = handler.stream, set(threading.enumerate())
        handler.handle(logging.makeLogRecord({"msg": "line 0", "levelno": 20}))
        wait_for(lambda: lines_of(tmp_path / "app.log") == expected(0))
        gone = weakref.ref(handler)
        del handler

        wait_for(lambda: gc.collect() >= 0 and gone() is None)
        wait_for(lambda: set(threading.enumerate()) <= others)
        stream.close()


class Clock:
    """A clock that advances while the thread of a handler waits; lines arrive meanwhile."""

    def __init__(self, arrivals, logger, log):
        self.now = 0.0
        self.arrivals, self.logger, self.log = list(arrivals), logger, log
        self.came, self.written = [], []

    def monotonic(self):
        self.note()
        return self.now

    def note(self):
        done = self.log.read_bytes().count(b"\n")
        self.written += [self.now] * (done - len(self.written))

    def wait(self, seconds):
        end = self.now + seconds
        while self.arrivals and self.arrivals[0] <= end:
            self.now = self.arrivals.pop(0)
            self.came.append(self.now)
            self.logger.info("line")
        self.now = end


@given(
    pauses=st.lists(st.floats(0, 0.2), min_size=1, max_size=30), when_full=st.sampled_from(["block", "drop"])
)
@settings(max_examples=100)
def test_no_line_waits_longer_than_the_interval(tmp_path_factory, pauses, when_full):
    """With an exact clock each line is written within the interval, whenever it arrives."""
    path = tmp_path_factory.mktemp("log") / "app.log"
    handler = Handler(path, when_full=when_full)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    arrivals = [sum(pauses[: index + 1]) for index in range(len(pauses))]
    clock = Clock(arrivals, logger, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffered, "time", clock)
        patch.setattr(handler._flusher, "start", lambda: True)
        while clock.arrivals:
            clock.wait(clock.arrivals[0] - clock.now)
            assert handler._watch(clock.wait)
            clock.note()
        handler.close()

    assert len(clock.written) == len(arrivals)
    late = [done - came for came, done in zip(clock.came, clock.written, strict=True)]
    assert max(late) <= handler.flush_interval + 1e-9


class TestFiles:
    """The same files as without a buffer."""

    @given(
        sizes=st.lists(st.integers(1, 130), max_size=60),
        flushes=st.sets(st.integers(0, 59)),
        encoding=st.sampled_from(["utf-8", "utf-16", "latin-1"]),
    )
    @settings(max_examples=60)
    def test_rotation(self, tmp_path_factory, sizes, flushes, encoding):
        """Lines of any length, in batches of any size, are split into files as single writes split them."""
        folders = []
        for kind in (Handler, EventFileHandler):
            folders.append(folder := tmp_path_factory.mktemp("log"))
            handler = kind(folder / "app.log", maxBytes=100, backupCount=99, encoding=encoding)
            if kind is Handler:
                handler.flush_interval = NEVER
            for number, size in enumerate(sizes):
                handler.handle(logging.makeLogRecord({"msg": "x" * size + str(number), "levelno": 20}))
                if number in flushes:
                    handler.flush()
            handler.close()

        assert snapshot(folders[0]) == snapshot(folders[1])

    @pytest.mark.parametrize(("length", "files"), [(43, 1), (44, 2)])
    def test_the_mark_of_a_new_file_is_counted(self, tmp_path, open_log, length, files):
        """Lines buffered for a new file leave space for its byte order mark."""
        logger = open_log(encoding="utf-16", maxBytes=100, backupCount=9)
        logger.info("xx")
        logger.info("x" * (length + 1))
        logger.handlers[0].flush()

        assert len(list(tmp_path.glob("app.log*"))) == files

    def test_a_rotation_that_fails(self, tmp_path, open_log):
        """While a folder has a backup's name, the file grows by all lines and reports the reason once."""
        (tmp_path / "app.log.1").mkdir()
        logger = open_log(maxBytes=50, backupCount=1)
        log(logger, *range(30))
        logger.handlers[0].flush()
        logger.handlers[0].flush()

        lines = (tmp_path / "app.log").read_bytes().splitlines()
        assert [line for line in lines if line.startswith(b"line")] == expected(*range(30))
        assert sum(b"could not be rotated" in line for line in lines) == 1

    def test_moved(self, tmp_path, open_log):
        """A file that was moved away while lines were buffered gets none of them."""
        logger = open_log()
        log(logger, 0)
        logger.handlers[0].flush()
        log(logger, 1)
        os.rename(tmp_path / "app.log", tmp_path / "moved")
        logger.handlers[0].flush()

        assert lines_of(tmp_path / "moved") == expected(0)
        assert lines_of(tmp_path / "app.log") == expected(1)

    def test_own_rule(self, tmp_path, open_log):
        """A subclass's own shouldRollover is called for each record, which is written immediately."""

        class Each(Handler):
            def shouldRollover(self, record):
                return "rotate" in record.getMessage()

        logger = open_log(kind=Each, maxBytes=1)
        for text in ("a", "b", "rotate", "c"):
            logger.info(text)

        assert [bytes_of(path) for path in files_of(tmp_path / "app.log")] == [b"a\nb\n", b"rotate\nc\n"]

    def test_terminator(self, tmp_path, open_log):
        """Another terminator is kept, and counted."""
        logger = open_log()
        logger.handlers[0].terminator = "\r\n"
        log(logger, 0, 1)
        logger.handlers[0].flush()

        assert (tmp_path / "app.log").read_bytes() == b"line 0\r\nline 1\r\n"

    def test_fifo(self, tmp_path, open_log):
        """A FIFO, where long writes of several processes mix, gets one write for each line."""
        os.mkfifo(tmp_path / "app.log")
        reader = os.open(tmp_path / "app.log", os.O_RDONLY | os.O_NONBLOCK)
        logger = open_log()
        log(logger, 0, 1, 2)
        logger.handlers[0].flush()

        assert os.read(reader, 1000) == b"line 0\nline 1\nline 2\n"
        os.close(reader)


class TestRefused:
    """A disk that takes no bytes, or not all."""

    def test_it_comes_back(self, tmp_path, open_log, disk):
        """Lines that a full disk refuses are written later, in their order; no loss is reported."""
        logger = open_log()
        disk.room = 0
        log(logger, 0, 1)
        logger.handlers[0].flush()
        log(logger, 2)
        disk.room = None
        logger.handlers[0].flush()

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)
        assert logger.handlers[0].refused == []

    def test_it_is_tried_again(self, tmp_path, open_log, disk, monkeypatch):
        """The handler's thread retries by itself."""
        monkeypatch.setattr(buffered, "WRITE_RETRY_SECONDS", 0.01)
        logger = open_log(flush_interval=0.01)
        disk.room = 0
        log(logger, 0)
        wait_for(lambda: disk.writes > 2)
        disk.room = None

        wait_for(lambda: lines_of(tmp_path / "app.log") == expected(0))

    @pytest.mark.parametrize("room", range(1, 22))
    def test_room_for_a_part(self, tmp_path, open_log, disk, room):
        """A disk with space for a part gets the whole lines that fit, and the rest later."""
        logger = open_log()
        log(logger, 0, 1, 2)
        disk.room = room
        logger.handlers[0].flush()
        assert lines_of(tmp_path / "app.log") == expected(*range(room // 7))

        disk.room = None
        logger.handlers[0].flush()

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)

    @pytest.mark.parametrize("when_full", ["block", "drop"])
    def test_full(self, tmp_path, open_log, disk, when_full):
        """At max_buffer further records are dropped, each is reported, and the log reports their number."""
        formatter = EventFormatter("%(message)s")
        logger = open_log(max_buffer=400, flush_size=300, when_full=when_full, formatter=formatter)
        disk.room = 0
        log(logger, *range(100))
        refused = [int(text.split()[1]) for text, error in logger.handlers[0].refused]
        disk.room = None
        logger.handlers[0].flush()
        logger.handlers[0].flush()

        events = [json.loads(line) for line in lines_of(tmp_path / "app.log")]
        told = [event for event in events if "lost" in event]
        kept = [int(event["message"].split()[1]) for event in events if "lost" not in event]
        assert kept + refused == list(range(100))
        assert 400 <= sum(len(json.dumps(event)) for event in events[: len(kept)]) + len(kept) < 500
        assert [event["lost"] for event in told] == [len(refused)]
        assert "400" in told[0]["message"] or "bytes are waiting" in told[0]["message"]
        assert all(isinstance(error, BufferFullError) for _, error in logger.handlers[0].refused)

    def test_until_the_end(self, tmp_path, open_log, disk):
        """Lines that fail until close() go to handleError, each once; a late record reports their number."""
        logger = open_log()
        log(logger, 0, 1)
        disk.room = 0
        logger.handlers[0].close()
        assert [text for text, _ in logger.handlers[0].refused] == ["line 0", "line 1"]
        assert {error.errno for _, error in logger.handlers[0].refused} == {errno.ENOSPC}
        disk.room = None
        log(logger, 2)

        first, notice = lines_of(tmp_path / "app.log")
        assert first == b"line 2"
        assert notice.startswith(b"2 records could not be written before this line")

    def test_not_confirmed(self, tmp_path, open_log, monkeypatch):
        """With fsync=True lines whose sync fails are reported once, and not written twice."""
        logger = open_log(fsync=True)
        log(logger, 0, 1)

        def fail(fd):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            logger.handlers[0].flush()
        log(logger, 2)
        logger.handlers[0].close()

        assert [text for text, _ in logger.handlers[0].refused] == ["line 0", "line 1"]
        *lines, notice = lines_of(tmp_path / "app.log")
        assert lines == expected(0, 1, 2)
        assert notice.startswith(b"2 records before this line are written, but perhaps not on the disk")

    def test_a_record_that_cannot_be_formatted(self, tmp_path, open_log):
        """A failing formatter is reported by the call of its record, and the others are written."""
        logger = open_log()
        log(logger, 0)
        logger.handlers[0].setFormatter(logging.Formatter("%(missing)s"))
        log(logger, 9)
        logger.handlers[0].setFormatter(logging.Formatter("%(message)s"))
        log(logger, 1)
        logger.handlers[0].flush()

        assert [text for text, _ in logger.handlers[0].refused] == ["line 9"]
        assert lines_of(tmp_path / "app.log")[:2] == expected(0, 1)


class TestSlow:
    """A slow disk: a FIFO whose reader does not read."""

    @pytest.fixture
    def fifo(self, tmp_path):
        """The path of a FIFO with a full buffer, and a function that empties it."""
        path = tmp_path / "app.log"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4095 + b"\n")
        os.close(writer)
        found = []

        def read():
            while not found or b"line 99\n" not in found[-1]:
                select.select([reader], [], [])
                found.append(os.read(reader, 1 << 20))
            return b"".join(found)

        yield read
        os.close(reader)

    def test_block(self, fifo, open_log):
        """With when_full="block" a call waits for the disk, and every line comes."""
        logger = open_log(flush_size=50, max_buffer=50)
        thread = threading.Thread(target=lambda: log(logger, *range(100)) or logger.handlers[0].flush())
        thread.start()
        wait_for(lambda: logger.handlers[0]._log.mutex.busy)
        assert thread.is_alive()
        data = fifo()
        thread.join()

        assert [line for line in data.splitlines() if line[:1] == b"l"] == expected(*range(100))

    def test_drop(self, fifo, open_log):
        """With when_full="drop" no call waits; records that find the buffer full are dropped and counted."""
        logger = open_log(flush_size=50, max_buffer=100, when_full="drop")
        log(logger, *range(99))  # in this thread: it would never return
        dropped = [int(text.split()[1]) for text, _ in logger.handlers[0].refused]
        reading = threading.Thread(target=lambda: data.append(fifo()))
        data = []
        reading.start()
        wait_for(lambda: not logger.handlers[0]._lines)
        log(logger, 99)
        logger.handlers[0].flush()
        reading.join()

        lines = [line for line in data[0].splitlines() if line[:1] == b"l"]
        assert len(dropped) > 50
        assert lines == expected(*(number for number in range(100) if number not in dropped))
        assert b"%d records could not be written" % len(dropped) in data[0]


class TestInterruptions:
    """Logging in the middle of logging."""

    def test_one_that_cannot_be_made(self, tmp_path, capfd):
        """A constructor that raises leaves nothing behind that could print an error later."""
        with pytest.raises(IsADirectoryError):
            BufferedEventFileHandler(tmp_path)
        gc.collect()

        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("call", ["write", "stat", "replace", "rename", "link", "pwrite"])
    @pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
    def test_in_the_middle_of_a_write(self, tmp_path, open_log, monkeypatch, call, level):
        """A record logged in the middle of a write or rotation, as by __del__, is written after it, once."""
        logger = open_log(maxBytes=60, backupCount=99, flush_size=35)
        original = getattr(os, call)
        inner = []

        def interrupted(*args, **kwargs):
            if len(inner) < 20:
                inner.append(b"inner %d" % len(inner))
                logger.log(level, inner[-1].decode())
            return original(*args, **kwargs)

        monkeypatch.setattr(os, call, interrupted)
        log(logger, *range(60))
        monkeypatch.undo()
        logger.handlers[0].flush()

        lines = lines_of(tmp_path / "app.log")
        assert [line for line in lines if line.startswith(b"line")] == expected(*range(60))
        assert [line for line in lines if line.startswith(b"inner")] == inner
        assert all(len(bytes_of(path)) < 60 for path in files_of(tmp_path / "app.log"))

    def test_in_the_middle_of_a_late_record(self, tmp_path, open_log, monkeypatch):
        """So is one after close(); later records are written immediately."""
        logger = open_log()
        logger.handlers[0].close()
        original = os.write

        def interrupted(*args):
            monkeypatch.undo()
            log(logger, 1)
            return original(*args)

        monkeypatch.setattr(os, "write", interrupted)
        log(logger, 0)
        log(logger, 2)

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)

    def test_an_exception_right_after_the_write(self, tmp_path, open_log, monkeypatch):
        """An exception from a signal handler while a write is under way neither doubles nor loses lines."""
        logger = open_log()
        log(logger, 0, 1)

        class Limit(BaseException):
            pass

        def limit(*args):
            raise Limit

        with monkeypatch.context() as patch:
            patch.setattr(buffered.BufferedEventFileHandler, "_taken", limit)
            with pytest.raises(Limit):
                logger.handlers[0].flush()
        log(logger, 2)
        logger.handlers[0].flush()

        assert lines_of(tmp_path / "app.log") == expected(0, 1, 2)
        assert logger.handlers[0]._size == 0

    def test_threads(self, tmp_path, open_log):
        """Lines of 8 threads are all there, each thread's in its order; the size is exact."""
        logger = open_log(flush_interval=0.001, flush_size=300, maxBytes=5000, backupCount=999)
        threads = [threading.Thread(target=log, args=(logger, *range(first, 8000, 8))) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        logger.handlers[0].flush()

        numbers = [int(line.split()[1]) for line in lines_of(tmp_path / "app.log")]
        assert sorted(numbers) == list(range(8000))
        assert all(
            [n for n in numbers if n % 8 == first] == list(range(first, 8000, 8)) for first in range(8)
        )
        assert logger.handlers[0]._size == 0


class TestArguments:
    """Arguments, from Python and from configuration files."""

    @pytest.mark.parametrize(
        "options",
        [
            {"flush_interval": -1},
            {"flush_interval": "50ms"},
            {"flush_size": "much"},
            {"flush_level": "LOUD"},
            {"flush_level": None},
            {"max_buffer": -1},
            {"max_buffer": "1kB"},
            {"when_full": "explode"},
            {"when_full": None},
            {"maxBytes": "ten"},
        ],
        ids=repr,
    )
    def test_refused(self, tmp_path, options):
        """A bad argument is one clear error at construction, with its name and value; nothing is made."""
        with pytest.raises(ConfigurationError) as caught:
            BufferedEventFileHandler(tmp_path / "x" / "app.log", **options)

        ((name, value),) = options.items()
        assert str(caught.value).startswith(f"{name} must be ")
        assert str(caught.value).endswith(f", got {value!r}")
        assert os.listdir(tmp_path) == []

    def test_dict_config(self, tmp_path):
        """A dictionary of plain values configures it."""
        logging.config.dictConfig(
            {
                "version": 1,
                "formatters": {"event": {"()": "chora_logging.EventFormatter"}},
                "handlers": {
                    "file": {
                        "class": "chora_logging.BufferedEventFileHandler",
                        "filename": str(tmp_path / "app.log"),
                        "maxBytes": "1MB",
                        "flush_interval": NEVER,
                        "flush_size": "32 kB",
                        "flush_level": "critical",
                        "max_buffer": "1MB",
                        "when_full": "drop",
                        "formatter": "event",
                    }
                },
                "loggers": {"work": {"handlers": ["file"], "level": "INFO"}},
            }
        )
        handler = logging.getLogger("work").handlers[0]
        logging.getLogger("work").error("x")
        gathered = (tmp_path / "app.log").read_bytes()
        logging.getLogger("work").critical("y")
        wait_for(lambda: len(lines_of(tmp_path / "app.log")) == 2)

        assert gathered == b""
        assert (handler.flush_size, handler.max_buffer, handler.flush_level) == (32 << 10, 1 << 20, 50)


PROGRAM = """
import logging.handlers, unittest
from chora_logging import BufferedEventFileHandler
class Handler(BufferedEventFileHandler):
    def __init__(self, *args, **options):
        super().__init__(*args, flush_level=0, **options)
logging.handlers.RotatingFileHandler = Handler
unittest.main("test.test_logging", argv=["", "-v", "RotatingFileHandlerTest"])
"""


def test_standard_library(tmp_path):
    """CPython's own tests for RotatingFileHandler pass when each record is flushed."""
    results = results_of(PROGRAM, tmp_path)

    assert {"test_should_rollover", "test_rollover_filenames"} <= set(results)
    assert set(results.values()) == {"ok"}
