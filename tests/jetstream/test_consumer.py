"""A consumer: what is stored in batches, what is new as it arrives, in order and once."""

from __future__ import annotations

import contextlib

import pytest

from chora_logging.errors import NoAnswerError, ServerError
from chora_logging.jetstream import consumer as consumers
from chora_logging.jetstream.consumer import Consumer
from tests.jetstream.servers import connected, create, done, wait_for
from tests.jetstream.storing import Place, lines


def sequences(messages):
    return [message.sequence for message in messages]


@contextlib.contextmanager
def followed(stream, start=1):
    """Follow *stream*; yields the sequences that have come, and the future of the error that ends it."""
    found = []
    consumer = Consumer(stream, start)
    ended = stream.connection.submit(consumer.follow(lambda messages: found.extend(sequences(messages))))
    try:
        yield found, ended
    finally:
        ended.cancel()
        done(stream, consumer.close())


class TestFetch:
    def test_batches(self, shop):
        """Batches are full but for the last one, which ends at what is stored."""
        for number in range(10):
            shop.store(lines(number))
        consumer = Consumer(shop.stream, 3)

        found = [sequences(done(shop.stream, consumer.fetch(3))) for _ in range(4)]
        shop.store(lines(10))
        found.append(sequences(done(shop.stream, consumer.fetch(3))))
        done(shop.stream, consumer.close())

        assert found == [[3, 4, 5], [6, 7, 8], [9, 10], [], [11]]
        assert consumer.first == 3

    def test_what_a_message_has(self, shop):
        """A message comes with its subject, headers, content, time and how many come after it."""
        shop.store(lines(1), headers={"X": "y"})
        shop.store(lines(2))
        consumer = Consumer(shop.stream, 1)

        first, _ = done(shop.stream, consumer.fetch(5))
        done(shop.stream, consumer.close())

        assert (first.subject, first.payload, first.pending) == (f"{shop.subjects}.web1.shop", lines(1), 1)
        assert first.headers["X"] == "y"
        assert first.time > 1.7e9

    def test_a_consumer_that_is_deleted(self, shop):
        """Without the consumer there is an error, and not the end."""
        shop.store(lines(1))
        consumer = Consumer(shop.stream, 1)
        assert sequences(done(shop.stream, consumer.fetch(5))) == [1]
        done(shop.stream, consumer.close())

        with pytest.raises(ServerError):
            done(shop.stream, consumer.fetch(5))

    def test_a_server_that_lacks_the_first_message(self, shop):
        """A server that has not yet the message to begin with sends no earlier one.

        A replica that was away is such a server for some milliseconds after its return. Servers of 2.10 begin
        after their last message then, newer ones wait.
        """
        for number in range(3):
            shop.store(lines(number))
        consumer = Consumer(shop.stream, 5)
        with contextlib.suppress(NoAnswerError):
            assert done(shop.stream, consumer.fetch(5)) == []
        for number in range(3, 6):
            shop.store(lines(number))
        try:
            found = done(shop.stream, consumer.fetch(5))
        except NoAnswerError:
            done(shop.stream, consumer.close())
            consumer = Consumer(shop.stream, 5)
            found = done(shop.stream, consumer.fetch(5))
        done(shop.stream, consumer.close())

        assert sequences(found) == [5, 6]

    def test_no_stream(self, running):
        """Without the stream there is an error."""
        with connected(running.address.replace("CLOG", "NONE")) as stream, pytest.raises(ServerError):
            done(stream, Consumer(stream, 1).fetch(1))


class TestFollow:
    def test_requests_that_are_used_up(self, shop, monkeypatch):
        """When a request for messages is used up, the next one goes on with the next message."""
        monkeypatch.setattr(consumers, "_ASKED_FOR", 3)
        for number in range(8):
            shop.store(lines(number))
        with followed(shop.stream) as (found, ended):
            wait_for(lambda: len(found) == 8)
            for number in range(10):
                shop.store(lines(number))
            wait_for(lambda: len(found) == 18)

            assert not ended.done()
        assert found == list(range(1, 19))

    def test_requests_that_expire(self, shop, monkeypatch):
        """When a request expires, the next one goes on, and nobody takes that for a loss."""
        monkeypatch.setattr(consumers, "_ASKED_SECONDS", 0.3)
        monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.1)
        monkeypatch.setattr(consumers, "MISSING_HEARTBEATS", 300)  # a busy machine may be silent for longer
        asked = []
        ask = Consumer._ask

        async def counted(self, client, request):
            asked.append(1)
            return await ask(self, client, request)

        monkeypatch.setattr(Consumer, "_ask", counted)
        with followed(shop.stream) as (found, ended):
            for number in range(5):
                before = len(asked)
                wait_for(lambda before=before: len(asked) > before)
                shop.store(lines(number))
                wait_for(lambda number=number: len(found) == number + 1)

            assert not ended.done()
        assert found == [1, 2, 3, 4, 5]

    def test_a_silent_server(self, newest, monkeypatch):
        """A server that says nothing for some heartbeats is taken for lost."""
        monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.1)
        with connected(newest.address) as stream:
            create(stream)
            Place(stream).store(lines(0))
            with followed(stream) as (found, ended):
                wait_for(lambda: found)
                newest.servers[0].freeze()
                try:
                    with pytest.raises(NoAnswerError, match="silent"):
                        ended.result(20)
                finally:
                    newest.servers[0].thaw()

    def test_a_consumer_that_is_deleted(self, shop):
        """Without the consumer it ends with an error."""
        with followed(shop.stream) as (_, ended):
            name = wait_for(lambda: consumers_of(shop.stream))[0]
            done(shop.stream, shop.stream.api(f"CONSUMER.DELETE.{shop.stream.name}.{name}"))

            with pytest.raises(ServerError):
                ended.result(20)


def consumers_of(stream):
    return done(stream, stream.api(f"CONSUMER.NAMES.{stream.name}", {})).get("consumers")
