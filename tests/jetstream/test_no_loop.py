"""A program whose own log is shipped to the stream that it reads does not write about that."""

from __future__ import annotations

import json
import logging

import pytest

from chora_logging import EventFileHandler, EventFormatter
from chora_logging.jetstream import Credentials, JetStreamLog
from tests.jetstream.servers import connected, create, wait_for
from tests.jetstream.shippers import Shipper
from tests.jetstream.storing import publish_raw


@pytest.fixture
def root_log(tmp_path):
    """The path of a log to which all loggers of this process write, of any level."""
    path = tmp_path / "app.log"
    handler = EventFileHandler(path)
    handler.setFormatter(EventFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield path
    root.setLevel(before)
    root.removeHandler(handler)
    handler.close()


def test_it_ends(newest, root_log, tmp_path):
    """Neither what is shipped, nor a lost connection, nor a message that ends it, is logged by the client."""
    logger = logging.getLogger("app")
    with connected(newest.address) as stream:
        create(stream)
        arguments = ("--log", root_log, "--host", "web1", "--linger", "0")
        with (
            Shipper(newest.address, tmp_path / "output", *arguments),
            JetStreamLog(newest.address, credentials=Credentials()) as log,
        ):
            logger.info("first")
            following = log.follow_sync(where={"logger": "app"})
            found = [next(following)]
            newest.end()
            newest.start()
            logger.info("second")
            found.append(next(following))
            publish_raw(newest.servers[0].port, b"clog.\xff.app", b"x")
            logger.info("third")
            found.append(next(following))
            following.close()
            wait_for(lambda: log.last(1, where={"logger": "app"})[0]["message"] == "third")

    loggers = {json.loads(line)["logger"] for line in root_log.read_bytes().splitlines()}
    assert [event["message"] for event in found] == ["first", "second", "third"]
    assert [name for name in loggers if name.startswith("nats")] == []
    assert root_log.read_bytes().count(b"\n") < 100
