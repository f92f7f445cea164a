"""Blocks follow each other by position and content; late blocks fill the holes between them."""

from __future__ import annotations

from chora_logging.eventlog.rotated.cursor import NO_LOG, Position
from chora_logging.jetstream.tiling import Hole, follows

LOG_ID = bytes(range(8))


def at(generation, offset, *, log_id=LOG_ID, inode=7, time=1000):
    """A position; the content before it is that of its file."""
    content = b"%06d" % generation
    return Position(log_id, generation, offset, content if offset else bytes(6), content, inode, time)


class TestFollows:
    def test_one_place(self):
        """Two positions of one place are equal whatever the file's time and inode."""
        assert follows(at(3, 50, inode=8, time=2000), at(3, 50))
        assert not follows(at(3, 60), at(3, 50))
        assert not follows(at(4, 50), at(3, 50))

    def test_next_file(self):
        """The beginning of the next file follows any place of a file, that of a later one does not."""
        assert follows(at(4, 0), at(3, 50))
        assert not follows(at(5, 0), at(3, 50))
        assert not follows(at(4, 0, log_id=bytes(7) + b"x"), at(3, 50))

    def test_without_a_sidecar(self):
        """Without a log id nothing tells the next file from a later one."""
        assert follows(at(0, 0, log_id=NO_LOG), at(3, 50))
        assert not follows(at(0, 60, log_id=NO_LOG), at(0, 50, log_id=NO_LOG))


class TestHole:
    def test_filled_piece_by_piece(self):
        """Late blocks in order fill a hole over several files."""
        hole = Hole(1, 2, at(3, 50), at(5, 20))
        for start, end in ((at(3, 50), at(3, 90)), (at(4, 0), at(4, 70)), (at(5, 0), at(5, 10))):
            hole = hole.without(start, end)
            assert hole.start == end

        assert hole.without(at(5, 10), at(5, 20)) is None

    def test_more_than_the_hole(self):
        """A late block may reach beyond both ends of a hole."""
        assert Hole(1, 2, at(3, 50), at(3, 60)).without(at(3, 40), at(3, 90)) is None

    def test_elsewhere(self):
        """A late block elsewhere does not count."""
        hole = Hole(1, 2, at(3, 50), at(3, 60))

        assert hole.without(at(3, 0), at(3, 50)) == hole
        assert hole.without(at(2, 50), at(2, 60)) == hole
        assert hole.without(at(3, 55), at(3, 60)) == hole
