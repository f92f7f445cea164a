"""The cases in which readers of rotated files lose or double lines, for a reader that keeps only a cursor.

The reader is restarted between any two steps. The cases, and the losses of readers that recognise a file
by its path, inode or first bytes, were measured before this package was designed. Each case runs with
files that differ from their first line on, and with files that all begin with the same long banner.
"""

from __future__ import annotations

import os
import shutil

import pytest

from chora_logging.eventlog import EventLog, Gap

BANNER = b"#" * 1499 + b"\n"
BEGINNING = 1_759_000_000  # the time of event 0; there is one event a second

#: The expected loss of each case, and the number of gaps.
CASES = {
    "rename": (0, 0),
    "rename three times": (0, 0),
    "short files": (0, 0),
    "copytruncate": (0, 0),
    "copytruncate, unread": (0, 0),
    "copytruncate and regrown": (0, 0),
    "inode reused, smaller": (0, 1),
    "inode reused, larger": (0, 1),
    "restored with a new inode": (0, 0),
    "truncated and regrown": (0, 1),
    "out of backups": (10, 1),
    "rotated, inode reused": (0, 1),
}


class Files:
    """A log that is written and rotated by other tools than our handler."""

    def __init__(self, log, banner):
        self.log, self.banner, self.count = str(log), banner, 0

    def write(self, count):
        time = BEGINNING + self.count
        with open(self.log, "ab") as file:
            if not file.tell():
                file.write(self.banner)
            for number in range(self.count, self.count + count):
                time = BEGINNING + number
                file.write(b'{"timestamp": %d, "n": %d}\n' % (time, number))
        os.utime(self.log, (time, time))
        self.count += count

    def rename(self, keep=9):
        for number in range(keep - 1, 0, -1):
            if os.path.exists(f"{self.log}.{number}"):
                os.replace(f"{self.log}.{number}", f"{self.log}.{number + 1}")
        os.replace(self.log, f"{self.log}.1")

    def copy(self):
        shutil.copyfile(self.log, f"{self.log}.1")
        # After its last line, as a copy is.
        os.utime(f"{self.log}.1", (BEGINNING + self.count, BEGINNING + self.count))

    def truncate(self):
        os.truncate(self.log, 0)

    def delete_and_keep_inode(self, name):
        """Delete a file; the next log has its inode."""
        os.rename(name, self.log + ".bak")
        os.truncate(self.log + ".bak", 0)
        return lambda: os.rename(self.log + ".bak", self.log)


def steps_of(case, files):
    """Run the steps of *case*; the reader polls after each."""
    write = files.write
    if case == "rename":
        return [lambda: write(30), lambda: write(5), files.rename, lambda: write(30)]
    if case == "rename three times":
        return [lambda: write(20), lambda: [(write(5), files.rename(), write(5)) for _ in range(3)]]
    if case == "short files":
        return [lambda: write(1), lambda: [(files.rename(), write(1)) for _ in range(3)]]
    if case == "copytruncate":
        return [lambda: write(30), files.copy, files.truncate, lambda: write(10)]
    if case == "copytruncate, unread":
        return [lambda: write(30), lambda: (write(30), files.copy(), files.truncate()), lambda: write(10)]
    if case == "copytruncate and regrown":
        return [lambda: write(30), lambda: (write(5), files.copy(), files.truncate(), write(60))]
    if case == "inode reused, smaller":
        return [lambda: write(30), lambda: (files.delete_and_keep_inode(files.log)(), write(10))]
    if case == "inode reused, larger":
        return [lambda: write(30), lambda: (files.delete_and_keep_inode(files.log)(), write(60))]
    if case == "restored with a new inode":
        return [lambda: write(30), lambda: restore(files.log), lambda: write(10)]
    if case == "truncated and regrown":
        return [lambda: write(30), lambda: (files.truncate(), write(60))]
    if case == "out of backups":
        return [lambda: write(30), lambda: [(files.rename(keep=3), write(10)) for _ in range(5)]]
    assert case == "rotated, inode reused"
    return [lambda: write(30), lambda: rotate_and_reuse_inode(files), lambda: write(10)]


def restore(log):
    shutil.copy2(log, log + ".new")
    os.replace(log + ".new", log)


def rotate_and_reuse_inode(files):
    """Two rotations with one backup: the file that was read is deleted, and the log gets its inode."""
    files.rename()
    files.write(30)
    reuse = files.delete_and_keep_inode(files.log + ".1")
    files.rename()
    reuse()
    files.write(30)


@pytest.mark.parametrize("banner", [b"", BANNER], ids=["distinct first lines", "the same banner"])
@pytest.mark.parametrize("case", CASES)
def test_with_a_cursor_only(tmp_path, case, banner):
    """No remaining event is lost or repeated, and a possible loss is reported as a gap."""
    files = Files(tmp_path / "app.log", banner)
    found, gaps, cursor = [], 0, None
    for step in steps_of(case, files):
        step()
        for item in EventLog(files.log, on_skip=lambda skipped: None).read(after=cursor):
            if isinstance(item, Gap):
                gaps += 1
                continue
            found.append(item["n"])
            cursor = item.cursor
    lost, told = CASES[case]

    assert found == sorted(set(found))
    assert (files.count - len(found), gaps) == (lost, told)
