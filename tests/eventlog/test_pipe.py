"""Events of a pipe: in order, at once, with bounded memory, and also those of a last line without its end."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog import pipe
from chora_logging.eventlog.events import RawLine
from chora_logging.eventlog.pipe import Pipe, PipeReader
from chora_logging.eventlog.selection import Selection

LINES = (b'{"n": 1}', b"text", b'{"n": "\xc3\xa4"}', b'{"n": 1}{"n": 2}')


def read_parts(parts, **options):
    """Write *parts* into a pipe one by one, and return what is read after each, and what was skipped."""
    reading, writing = os.pipe()
    skipped = []
    selection = Selection(**options)
    selection.raw = not options
    reader = PipeReader(reading, "pipe", selection, skipped.append)
    found = []
    for part in parts:
        os.write(writing, part)
        found.append(reader.poll_items(wait=True))
    os.close(writing)
    while not reader.ended:
        found += filter(None, [reader.poll_items(wait=True)])
    reader.close()
    return found, skipped


class TestReader:
    def test_at_once(self):
        """Each event is given as soon as its line is complete, the last one at the end."""
        found, _ = read_parts([b'{"n": 1}\n{"n"', b": 2}", b'\n{"n": 3}'])

        assert found == [[{"n": 1}], [], [{"n": 2}], [{"n": 3}]]

    def test_it_does_not_wait(self):
        """Without data there are no items, and nobody waits."""
        reading, writing = os.pipe()
        reader = PipeReader(reading, "pipe", Selection(), print)

        assert reader.poll_items() is None
        assert not reader.ended
        os.close(writing)
        assert reader.poll_items() is None
        assert reader.ended
        reader.close()

    def test_raw_lines(self):
        """Other lines stand at their places, blank ones left out; with a filter they are skipped."""
        parts = [b'{"n": 1}\nTraceback:\n\n  \xff\r\n{"n": 2}\n']
        ((one, head, line, two),), _ = read_parts(parts)

        assert (one, two) == ({"n": 1}, {"n": 2})
        assert isinstance(head, RawLine)
        assert (head.text, line.text) == ("Traceback:", "  \\xff")

        found, skipped = read_parts(parts, where={"n": 2})
        assert (found, len(skipped)) == ([[{"n": 2}]], 2)

    def test_a_line_that_is_too_long(self, monkeypatch):
        """A line that is too long is skipped, its length is reported, and it is not held in memory."""
        monkeypatch.setattr(pipe, "LONGEST_LINE_BYTES", 20)
        found, skipped = read_parts([b'{"a": "', b"x" * 30, b"y" * 30, b'"}\n{"n": 1}\n{"n": ', b"2}\n"])

        assert found == [[], [], [], [{"n": 1}], [{"n": 2}]]
        assert [line.reason for line in skipped] == ["70 bytes are too long for a line"]

    @given(
        st.lists(
            st.sampled_from([b'{"n": 1}', b"text", b'{"n": "\xc3\xa4"}', b'{"n": 1}{"n": 2}']), max_size=9
        ),
        st.lists(st.integers(0, 80), max_size=9),
    )
    def test_any_parts(self, lines, cuts):
        """For any cuts, the events are those of the whole."""
        data = b"\n".join(lines)
        edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
        parts = [data[start:end] for start, end in itertools.pairwise(edges)]
        whole, _ = read_parts([data] if data else [])
        found, _ = read_parts(parts)

        def shown(items):
            return [item.text if isinstance(item, RawLine) else dict(item) for part in items for item in part]

        assert shown(found) == shown(whole)


class TestPipe:
    def test_a_fifo(self, tmp_path):
        """A FIFO is opened by the first read, and closed at its end."""
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        assert pipe.is_pipe(str(fifo))
        descriptors = len(os.listdir("/proc/self/fd"))
        keep = os.open(fifo, os.O_RDWR)
        os.write(keep, b'{"n": 1}\n{"n": 2}\nno')
        events = Pipe(str(fifo)).read(raw=True)
        assert next(events) == {"n": 1}
        os.close(keep)

        assert [*map(str, events)] == ["{'n': 2}", "{}"]
        assert len(os.listdir("/proc/self/fd")) == descriptors

    def test_what_cannot_be_read(self, tmp_path):
        """An error names the pipe."""
        with pytest.raises(FileNotFoundError, match="fifo"):
            Pipe(str(tmp_path / "fifo")).last(1)

    def test_what_is_no_pipe(self, tmp_path):
        """A file, a folder, nothing and a path that is none are not pipes."""
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path, tmp_path / "none", "a\0b"):
            assert not pipe.is_pipe(str(path))
