"""The sidecar's record of the rotations, beside versions of this package that do not know it."""

from __future__ import annotations

import os
import struct
import zlib

from chora_logging import log_files
from chora_logging.eventlog import EventLog
from chora_logging.log_files import Rotated
from chora_logging.writing import journal
from chora_logging.writing.compression import compress_backups
from tests.eventlog.writing import Writer, numbers

HEAD, LIST, ENTRY = struct.Struct("<8s16sI4xQQQ8x"), struct.Struct("<IIIQ"), struct.Struct("<QI")


def read_as_before(path):
    """What a version without the record finds in a sidecar: how many backups are kept, and which."""
    data = path.read_bytes()
    _, log_id, _, sequence, _, _ = HEAD.unpack_from(data)
    checksum, keep, count, inode = LIST.unpack_from(data, HEAD.size)
    entries = data[HEAD.size + LIST.size :][: count * ENTRY.size]
    assert checksum == zlib.crc32(b"%s %d %d " % (log_id, sequence, keep) + entries)
    assert inode == path.stat().st_ino
    return keep, dict(ENTRY.iter_unpack(entries))


def write_as_before(path, rotations=0):
    """Write the sidecar as such a version does, which has rotated so often."""
    keep, listed = read_as_before(path)
    magic, log_id, crc, sequence, inode, step = HEAD.unpack_from(path.read_bytes())
    sequence += 2 * rotations
    entries = b"".join(ENTRY.pack(*each) for each in listed.items())
    checksum = zlib.crc32(b"%s %d %d " % (log_id, sequence, keep) + entries)
    head = HEAD.pack(magic, log_id, crc, sequence, inode, step)
    data = head + LIST.pack(checksum, keep, len(listed), path.stat().st_ino) + entries
    with open(path, "rb+") as file:
        file.write(data)
        file.truncate()


def written(tmp_path, files=3):
    """A log with as many backups, of three events each, and its sidecar."""
    writer = Writer(tmp_path / "app.log", keep=5)
    for _ in range(files):
        writer.write(3)
        writer.rotate()
    writer.write(3)
    return writer, tmp_path / ".app.log.lock"


def recorded(writer):
    return log_files.read_backups(writer.log).record


def test_what_is_recorded(tmp_path):
    """Each file is recorded with its generation, inode, size, first line and head; one more than is kept."""
    writer, _ = written(tmp_path, files=8)
    record = recorded(writer)

    assert list(record) == [2, 3, 4, 5, 6, 7]
    for generation in range(3, 8):
        path = writer.backup(8 - generation)
        with open(path, "rb") as file:
            line = zlib.crc32(file.readline()[:-1][:256])
            file.seek(0)
            head = log_files.digest(file.read(1024))
        status = os.stat(path)
        assert record[generation] == Rotated(status.st_ino, status.st_size, line, head)


def test_a_compressed_backup(tmp_path):
    """A compressed backup is recorded with its new inode, and what its content was."""
    writer, _ = written(tmp_path)
    before = recorded(writer)
    compress_backups(writer.log, 5, lambda name: name)
    inodes = [os.stat(writer.backup(3 - each) + ".gz").st_ino for each in range(3)]

    assert recorded(writer) == {each: before[each]._replace(inode=inodes[each]) for each in before}


def test_former_versions_read_it(tmp_path):
    """The list is as it was, and where it was."""
    writer, sidecar = written(tmp_path)
    keep, listed = read_as_before(sidecar)

    assert not keep
    assert listed == log_files.read_backups(writer.log).owned
    assert set(listed) == {os.stat(writer.backup(number)).st_ino for number in (1, 2, 3)}


def test_former_versions_write_it(tmp_path):
    """A list that they have written is read, and rotations go on, with all events and no hole."""
    writer, sidecar = written(tmp_path)
    first, *_ = EventLog(writer.log).read()
    write_as_before(sidecar)
    assert recorded(writer) == {}
    assert set(log_files.read_backups(writer.log).owned) == set(read_as_before(sidecar)[1])
    writer.handler.doRollover()
    writer.write(3)

    assert list(recorded(writer)) == [3]
    assert os.path.exists(writer.backup(4))
    assert numbers(EventLog(writer.log).read(after=first.cursor)) == list(range(1, 15))


def test_a_damaged_record(tmp_path):
    """A record that was not written whole says nothing; nor does one of another sequence."""
    writer, sidecar = written(tmp_path)
    first, *_ = EventLog(writer.log).read()
    whole = sidecar.read_bytes()
    end = HEAD.size + LIST.size + 3 * ENTRY.size
    for at in (end, end + 5, len(whole) - log_files.RETAINED.size - 1):
        sidecar.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert recorded(writer) == {}
        sidecar.write_bytes(whole[:at])
        assert recorded(writer) == {}
        assert numbers(EventLog(writer.log).read(after=first.cursor)) == list(range(1, 12))


def test_a_damaged_end(tmp_path):
    """What has to be there is unknown if it was not written whole; the record still says what it says."""
    writer, sidecar = written(tmp_path)
    whole, record = sidecar.read_bytes(), recorded(writer)
    for at in (len(whole) - log_files.RETAINED.size, len(whole) - 1):
        for data in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at]):
            sidecar.write_bytes(data)
            said = log_files.read_backups(writer.log)
            assert (said.record, said.kept_from, said.live) == (record, None, None)


def test_what_has_to_be_there(tmp_path):
    """The oldest backup that was not deleted is recorded, whatever the number of backups was before."""
    writer, _ = written(tmp_path, files=8)
    found = [log_files.read_backups(writer.log).kept_from]
    for keep in (2, 9, 9, 1, 9):
        writer.handler.backupCount = keep
        writer.write(1)
        writer.rotate()
        found.append(log_files.read_backups(writer.log).kept_from)

    assert found == [3, 7, 7, 7, 11, 11]


def test_more_than_a_sidecar_has_room_for():
    """The oldest rotations are left out."""
    state = log_files.Sidecar(b"0123456789abcdef", 20)
    record = {each: Rotated(each + 1, None, 3, b"digest") for each in range(5)}
    data = journal.pack_record(state, record, log_files.RECORD.size + 2 * log_files.RECORD_ENTRY.size + 1)

    assert log_files._parse_record(data, state) == {each: record[each] for each in (3, 4)}
    assert journal.pack_record(state, record, log_files.RECORD.size - 1) == b""
