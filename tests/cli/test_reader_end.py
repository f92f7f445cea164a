"""Commands end with the reader of their output, also while they wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from chora_logging.cli.reader_end import ReaderEnded, ended_with_reader, uninterrupted
from tests.cli.calling import write_events
from tests.cli.running import DEADLINE, running


@pytest.mark.parametrize("options", [["--json"], []])
def test_tail_ends_without_an_event(tmp_path, options):
    """`tail -f | head -1` ends when `head` does, although no event comes."""
    log = write_events(tmp_path / "app.log", {"event": "only"})
    reading, writing = os.pipe()
    with running("tail", "-f", log, *options, stdout=writing) as command:
        os.close(writing)
        with open(reading, "rb") as file:
            assert b"only" in file.readline()
        assert command.process.wait(DEADLINE) == 141
        assert command.process.stderr.read() == b""


def test_tail_of_a_pipe_ends_without_an_event(tmp_path):
    """The same holds while it waits for a pipe."""
    reading, writing = os.pipe()
    with running("tail", "-f", stdin=subprocess.PIPE, stdout=writing) as command:
        os.close(writing)
        command.process.stdin.write(b'{"event": "only"}\n')
        command.process.stdin.flush()
        with open(reading, "rb") as file:
            assert b"only" in file.readline()
        assert command.process.wait(DEADLINE) == 141


@contextlib.contextmanager
def stdout_as_pipe(monkeypatch):
    """A pipe as stdout in the block: its end for reading."""
    reading, writing = os.pipe()
    with (
        open(writing, "w", encoding="utf-8") as stdout,
        open(reading, "rb") as file,
        monkeypatch.context() as patch,
    ):
        patch.setattr("sys.stdout", stdout)
        yield file


class TestBlock:
    def test_an_import_is_not_interrupted(self, monkeypatch, tmp_path):
        """A module that is imported meanwhile is imported: an import that was left leaves files open."""
        (tmp_path / "imported_slowly.py").write_text("import time\ntime.sleep(0.3)\nis_whole = True\n")
        monkeypatch.syspath_prepend(tmp_path)
        with stdout_as_pipe(monkeypatch) as pipe, pytest.raises(ReaderEnded), ended_with_reader():
            pipe.close()
            import imported_slowly

            threading.Event().wait(DEADLINE)

        assert imported_slowly.is_whole

    def test_it_is_not_taken_for_an_error_of_a_file(self, monkeypatch):
        """What handles errors of files does not handle it."""
        with stdout_as_pipe(monkeypatch) as pipe, pytest.raises(ReaderEnded), ended_with_reader():
            pipe.close()
            with contextlib.suppress(OSError):
                threading.Event().wait(DEADLINE)
            raise AssertionError("was swallowed")

    def test_it_is_interrupted(self, monkeypatch):
        """A block that waits is left, and the handler is the previous one afterwards."""
        before = signal.getsignal(signal.SIGURG)
        with stdout_as_pipe(monkeypatch) as pipe, pytest.raises(ReaderEnded), ended_with_reader():
            pipe.close()
            threading.Event().wait(DEADLINE)

        assert signal.getsignal(signal.SIGURG) == before

    def test_it_is_interrupted_again(self, monkeypatch):
        """An exception that something swallows is raised again."""
        swallowed = []
        with stdout_as_pipe(monkeypatch) as pipe, pytest.raises(ReaderEnded), ended_with_reader():
            pipe.close()
            try:
                threading.Event().wait(DEADLINE)
            except BaseException as error:
                swallowed.append(error)
            threading.Event().wait(DEADLINE)

        assert swallowed

    def test_its_end(self, monkeypatch):
        """A block that ends leaves no thread behind, and what happens later does not matter."""
        threads = threading.active_count()
        with stdout_as_pipe(monkeypatch) as pipe:
            with ended_with_reader():
                assert threading.active_count() == threads + 1
            assert threading.active_count() == threads
            pipe.close()


@pytest.mark.parametrize("number", [signal.SIGURG, signal.SIGINT])
def test_a_block_that_ends_first(number):
    """What interrupts the main thread waits for the end of the block, and comes then."""

    def interrupt(number, frame):
        raise ReaderEnded

    steps = []
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(ReaderEnded):  # the block is what is tested
            with uninterrupted():
                signal.pthread_kill(threading.get_ident(), number)
                steps.append("whole")
            steps.append("after")
    finally:
        signal.signal(number, before)

    assert steps == ["whole"]
