"""`JetStreamLog`: reads, follows and pages a stream, as `EventLog` does files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest

from chora_logging.errors import ConfigurationError, CursorError, ServerError, UnknownOptionError
from chora_logging.eventlog import Gap, Source, open_source
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Health
from chora_logging.jetstream import log as logs
from chora_logging.jetstream import stored
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.log import JetStreamLog
from tests.eventlog.writing import numbers
from tests.jetstream.servers import connected, create, done, wait_for
from tests.jetstream.storing import Place, line, lines, publish, publish_raw


def page(log, **options):
    """Return one page."""

    def steps():
        asked = {"selection": Selection(), "limit": 100, "budget": 10**6, **options}
        found.append((yield from log.page(**asked)))

    found = []
    for _ in steps():
        pass
    return found[0]


def taken(items, count):
    """Return the next *count* items of an endless iterator, which is closed."""
    with contextlib.closing(items):
        return [next(items) for _ in range(count)]


def without_gaps(items):
    return [item["n"] for item in items if not isinstance(item, Gap)]


class TestRead:
    def test_in_order(self, shop, log):
        """All events come in the order in which they were stored, from blocks of any compression."""
        other = Place(shop.stream, "web2", "pay")
        for number in range(0, 300, 3):
            place = shop if number % 2 else other
            place.store(lines(number, number + 1, number + 2), compress=number % 4 == 0)

        found = list(log.read())

        assert numbers(found) == list(range(300))
        assert found[0] == {"host": "web2", "log": "pay", "n": 0}
        assert numbers(log.read(newest_first=True)) == list(range(299, -1, -1))
        assert numbers(log.last(7)) == list(range(293, 300))
        assert numbers(log.read(limit=7)) == list(range(7))

    def test_from_every_cursor(self, shop, log):
        """From each cursor on come exactly the later events."""
        for number in range(0, 30, 3):
            shop.store(lines(number, number + 1) + b'no event\n{"n": %d}{"a": 1}\n' % (number + 2))
        found = list(log.read())

        for index, event in enumerate(found):
            assert list(log.read(after=event.cursor)) == found[index + 1 :]

    def test_more_than_one_batch(self, shop, log, monkeypatch):
        """It does not matter how many messages are read at a time."""
        monkeypatch.setattr(stored, "BATCH", 3)
        for number in range(20):
            shop.store(lines(number))

        found = list(log.read())

        assert numbers(found) == list(range(20))
        assert numbers(log.read(newest_first=True)) == list(range(19, -1, -1))
        assert numbers(log.read(after=found[4].cursor)) == list(range(5, 20))

    def test_what_is_stored_meanwhile(self, shop, log, monkeypatch):
        """Reading ends with what was stored when it began."""
        monkeypatch.setattr(stored, "BATCH", 2)
        for number in range(6):
            shop.store(lines(number))

        events = log.read()
        first = next(events)
        for number in range(6, 9):
            shop.store(lines(number))

        assert numbers([first, *events]) == list(range(6))

    def test_filters(self, shop, log):
        """Events are filtered as those of files are."""
        shop.store(line(n=1, level="ERROR", trace_id="t1") + line(n=2) + line(n=3, trace_id="t1"))

        assert numbers(log.read(trace_id="t1")) == [1, 3]
        assert numbers(log.read(level="error")) == [1]
        assert numbers(log.read(where={"n": "2"})) == [2]

    def test_one_machine_or_log(self, shop, log):
        """`host` and `log` say which messages are read, of hosts with any names."""
        hosts = ["web1", "web.example.org", "ü*", "x" * 80]
        for number, host in enumerate(hosts):
            Place(shop.stream, host, "shop").store(line(n=number, host="own"))
            Place(shop.stream, host, "pay").store(line(n=number + 10), late=True)

        for number, host in enumerate(hosts):
            assert numbers(log.read(where={"host": host})) == [number, number + 10]
            assert numbers(log.read(where={"host": host}, newest_first=True)) == [number + 10, number]
            assert numbers(log.read(where={"host": host, "log": "pay"})) == [number + 10]
        assert numbers(log.read(where={"log": "shop"})) == [0, 1, 2, 3]
        assert numbers(log.read(where={"log": "pay", "n": "12"})) == [12]
        assert list(log.read(where={"host": "own"})) == []
        assert list(log.last(5, where={"host": "web"})) == []

    @pytest.mark.parametrize("subjects", [["{}.a.b.>"], ["{}.a.*.*.*"], ["{}.a.>", "{}x.>"], ["{}.>"]])
    def test_one_machine_with_any_subjects(self, running, subjects):
        """A machine is found whatever the subjects of the stream are, and with a prefix of several parts."""
        name = f"P{abs(hash(tuple(subjects)))}"
        with connected(running.address.replace("CLOG", name)) as stream:
            create(stream, subjects=[subject.format(name.lower()) for subject in subjects])
            for number, host in enumerate(["h1", "h2", "h1"]):
                Place(stream, host, prefix=f"{name.lower()}.a.b").store(lines(number))
            with JetStreamLog(str(stream.connection.address), credentials=Credentials()) as log:
                assert numbers(log.read(where={"host": "h1"})) == [0, 2]
                assert numbers(log.last(5, where={"host": "h2", "log": "shop"})) == [1]
                assert numbers(taken(log.follow_sync(where={"host": "h1"}), 2)) == [0, 2]

    def test_since(self, shop, log):
        """A time is that of the events; messages that were stored long before are not read."""
        old, new = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
        shop.store(line(n=1, timestamp=old) + line(n=2, timestamp=new))

        assert numbers(log.read(since="1h")) == [2]
        assert numbers(log.read(until="1h")) == [1]
        assert numbers(log.last(9, since="1h")) == [2]
        assert list(log.read(since="9990-01-01")) == []

    def test_what_is_no_block(self, shop, log, running):
        """Foreign messages are reported and passed over."""
        skipped = []
        shop.store(lines(1))
        publish(shop.stream, f"{shop.subjects}.web1.shop", b"x" * 1000)
        publish(shop.stream, f"{shop.subjects}.a.b.c.d", b'{"n": 5}\n')
        shop.store(lines(2), headers={"Content-Encoding": "gzip"})
        shop.store(lines(3), compress=True)
        with JetStreamLog(log.address, on_skip=skipped.append, credentials=Credentials()) as other:
            assert numbers(other.read()) == [1, 3]
            assert numbers(other.read(newest_first=True)) == [3, 1]
            assert numbers(taken(other.follow_sync(), 2)) == [1, 3]
            assert numbers(page(other).events) == [1, 3]

        assert len(skipped) == 9

    @pytest.mark.parametrize(
        ("subject", "headers"),
        [
            (b"%s.web1.shop", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
            (b"%s.web1.shop", b"NATS/1.0"),
            (b"%s.\xff.shop", b""),
            (b"%s.\v.shop", b""),
        ],
        ids=["status", "short", "bytes", "space"],
    )
    def test_what_ends_the_connection_of_a_client(self, shop, log, running, caplog, subject, headers):
        """A message that no client can receive is reported and passed over, by all who read the stream."""
        skipped = []
        subject = subject % shop.subjects.encode()
        shop.store(lines(1))
        publish_raw(running.servers[0].port, subject, b"x", headers)
        shop.store(lines(2))
        with JetStreamLog(log.address, on_skip=skipped.append, credentials=Credentials()) as other:
            assert numbers(other.read()) == [1, 2]
            assert numbers(other.read(newest_first=True)) == [2, 1]
            following = other.follow_sync()
            found = [next(following) for _ in range(2)]
            shop.store(lines(3))
            found.append(next(following))
            publish_raw(running.servers[0].port, subject, b"x", headers)
            shop.store(lines(4))
            found.append(next(following))
            following.close()
            assert numbers(page(other).events) == [1, 2, 3, 4]

        assert numbers(found) == [1, 2, 3, 4]
        assert len(skipped) == 4
        assert [record for record in caplog.records if record.name.startswith("nats")] == []

    def test_nothing(self, stream, log):
        """An empty stream has no events."""
        assert (list(log.read()), log.last(5), list(log.read(where={"host": "a"}))) == ([], [], [])
        assert page(log)[:3] == ([], page(log).next, False)
        assert (log.exists(), log.size()) == (True, 0)

    def test_wrong_use(self, log):
        """Errors are those of `EventLog`, and come at once."""
        with pytest.raises(CursorError):
            log.read(after="n1.x")
        with pytest.raises(CursorError):
            log.follow_sync(after="x")
        with pytest.raises(UnknownOptionError):
            log.read(taks_id="5")
        with pytest.raises(ValueError, match="newest_first"):
            log.read(after="n1.0a1b2c3d.1.0", newest_first=True)


class TestNoStream:
    def test_is_empty(self, running):
        """A stream that does not exist is empty."""
        address = running.address.replace("CLOG", "NONE")
        with JetStreamLog(address, credentials=Credentials()) as log:
            assert (log.exists(), log.size(), log.state()) == (False, 0, ())
            assert (list(log.read()), log.last(3)) == ([], [])
            assert page(log)[:3] == ([], None, False)
            assert page(log, newest_first=True)[:3] == ([], None, False)

    def test_following_waits_for_it(self, running):
        """Following begins with the first event of a stream that is made later."""
        address = running.address.replace("CLOG", "LATER")
        with JetStreamLog(address, credentials=Credentials()) as log, connected(address) as stream:
            made = threading.Timer(
                0.3, lambda: (create(stream, subjects=["later.>"]), Place(stream).store(lines(1, 2)))
            )
            made.start()
            try:
                assert numbers(taken(log.follow_sync(), 2)) == [1, 2]
            finally:
                made.join()

    def test_no_server(self, monkeypatch):
        """Without a server it says so, and that it is not healthy."""
        monkeypatch.setattr(logs, "patiently", lambda work: work())
        with JetStreamLog("nats://127.0.0.1:1/CLOG", credentials=Credentials()) as log:
            assert log.health() == Health(readable=False, following=False)
            with pytest.raises(ServerError, match=r"nats://127\.0\.0\.1:1/CLOG: not connected"):
                log.exists()

            # A probe does not wait until a server answers.
            monkeypatch.setattr(logs, "state_of", lambda stream: pytest.fail("the servers are asked"))
            assert log.health() == Health(readable=False, following=False)


class TestSource:
    def test_is_a_source(self, log):
        """It has all members of the protocol, and an address opens it."""
        with open_source(log.address, fields={"level": "sev"}) as opened:
            assert isinstance(opened, Source)
            assert isinstance(opened, JetStreamLog)
            assert (opened.address, opened.meaning.fields) == (log.address, {"level": "sev"})
            assert repr(opened) == f"JetStreamLog({log.address!r})"

    def test_state(self, shop, log):
        """Its state and its size change with each message."""
        before = log.state(), log.size()
        shop.store(lines(1))
        after = log.state(), log.size()

        assert before[0] != after[0]
        assert before[1] < after[1]
        assert after == (log.state(), log.size())

    def test_a_password_is_not_shown(self):
        """An address with a password is refused without repeating it."""
        with pytest.raises(ConfigurationError) as error:
            open_source("nats://me:secret@host/CLOG")

        assert "secret" not in str(error.value)

    def test_close(self, running, stream):
        """The connection is closed with the last log that uses it, and made anew when it is needed."""
        address = str(stream.connection.address)

        def threads():
            return [thread for thread in threading.enumerate() if thread.name == f"nats {address}"]

        before = len(threads())
        first = JetStreamLog(address, credentials=Credentials())
        second = JetStreamLog(address, credentials=Credentials())
        assert (first.exists(), second.exists(), len(threads())) == (True, True, before + 1)
        first.close()
        first.close()
        during = len(threads())
        second.close()
        wait_for(lambda: len(threads()) == before)
        with JetStreamLog(address, credentials=Credentials()) as third:
            assert third.exists()

        assert during == before + 1


class TestFollow:
    def test_stored_and_new(self, shop, log):
        """Stored events come first, then each new one, filtered."""
        shop.store(lines(1, 2))
        Place(shop.stream, "web2").store(lines(3))
        events, of_web2 = log.follow_sync(), log.follow_sync(where={"host": "web2"})
        found = [next(events) for _ in range(3)]
        found2 = [next(of_web2)]
        shop.store(lines(4))
        Place(shop.stream, "web2").store(lines(5, 6))
        found += [next(events) for _ in range(3)]
        found2 += [next(of_web2) for _ in range(2)]
        events.close()
        of_web2.close()

        assert numbers(found) == [1, 2, 3, 4, 5, 6]
        assert numbers(found2) == [3, 5, 6]

    def test_the_end(self, shop, log):
        """From the end on come only new events."""
        shop.store(lines(1))
        subscription = log.subscribe(Selection(), "end")
        assert subscription.read() == []
        assert subscription.fed
        shop.store(lines(2))
        items = None
        while not items:
            subscription.wait()
            items = subscription.take()
        subscription.close()

        assert numbers(items) == [2]

    def test_many_followers_share_a_consumer(self, shop, log):
        """50 followers in an event loop cost one consumer, and get the same events, once and in order."""
        for number in range(10):
            shop.store(lines(number))

        async def follow(into, **filters):
            async with contextlib.aclosing(log.follow_batches(**filters)) as batches:
                async for items in batches:
                    into += items

        async def main():
            found = [[] for _ in range(50)]
            filters = [{}, {"where": {"n": "5"}}]
            tasks = [asyncio.ensure_future(follow(into, **filters[i % 2])) for i, into in enumerate(found)]
            expected = [list(range(10)), [5]]
            await until(lambda: all(numbers(into) == expected[i % 2] for i, into in enumerate(found)))
            await until(lambda: log.health().following and consumers(shop.stream) == 1)
            for number in range(10, 15):
                await asyncio.to_thread(shop.store, lines(number))
            await asyncio.to_thread(shop.store, lines(5))
            expected = [[*range(15), 5], [5, 5]]
            await until(lambda: all(numbers(into) == expected[i % 2] for i, into in enumerate(found)))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return found

        found = asyncio.run(asyncio.wait_for(main(), 60))
        wait_for(lambda: consumers(shop.stream) == 0)

        assert all(a is b for a, b in zip(found[0][10:], found[2][10:], strict=True))

    def test_one_that_is_collected(self, shop, log):
        """A follower that is collected as garbage leaves no consumer, wherever a thread is at that time."""
        shop.store(lines(1))
        subscription = log.subscribe(Selection())
        assert numbers(subscription.read()) == [1]
        connection = log._stream.connection
        wait_for(lambda: consumers(shop.stream) == 1)
        with connection._lock:
            del subscription
            gc.collect()

        wait_for(lambda: consumers(shop.stream) == 0)

    def test_a_slow_follower(self, shop, log, monkeypatch):
        """Who falls behind the buffer of the feed reads the stream again, and misses and repeats nothing."""
        monkeypatch.setattr("chora_logging.eventlog.feed.BUFFERED_ITEMS", 5)
        shop.store(lines(0))
        slow = log.follow_sync()
        found = [next(slow)]
        shop.store(lines(1))
        found.append(next(slow))
        for number in range(2, 60):
            shop.store(lines(number))
            if number % 10 == 0:
                found.append(next(slow))
        while len(found) < 60:
            found.append(next(slow))
        slow.close()

        assert numbers(found) == list(range(60))


class TestGaps:
    def test_expired(self, shop, log):
        """A cursor before the first message gives a gap, once, and then all that is there."""
        for number in range(6):
            shop.store(lines(number))
        found = list(log.read())
        done(shop.stream, shop.stream.api(f"STREAM.PURGE.{shop.stream.name}", {"seq": 4}))

        (gap, *rest) = log.read(after=found[0].cursor)
        followed = taken(log.follow_sync(after=found[0].cursor), 4)

        assert isinstance(gap, Gap)
        assert numbers(rest) == [3, 4, 5]
        assert (followed[0], numbers(followed[1:])) == (gap, [3, 4, 5])
        assert numbers(log.read(after=found[2].cursor)) == [3, 4, 5]
        assert numbers(log.read()) == [3, 4, 5]
        assert page(log, after=found[0].cursor).gap == gap

    def test_expired_while_it_is_read(self, shop, log, monkeypatch):
        """Messages that retention deletes in front of a slow reader are reported in their place."""
        monkeypatch.setattr(stored, "BATCH", 2)
        for number in range(10):
            shop.store(lines(number))
        reading = log.read(after=next(iter(log.read())).cursor)
        found = [next(reading)]
        done(shop.stream, shop.stream.api(f"STREAM.PURGE.{shop.stream.name}", {"seq": 8}))
        found += reading

        assert sum(isinstance(item, Gap) for item in found) == 1
        assert without_gaps(found)[-3:] == [7, 8, 9]
        assert isinstance(found[len(found) - 4], Gap)

    def test_everything_expired(self, shop, log):
        """A gap stands for all; the next event comes after it."""
        shop.store(lines(1))
        shop.store(lines(2))
        (first, _) = log.read()
        done(shop.stream, shop.stream.api(f"STREAM.PURGE.{shop.stream.name}", {}))
        following = log.follow_sync(after=first.cursor)
        gap = next(following)
        shop.store(lines(3))

        assert [isinstance(gap, Gap), next(following)["n"]] == [True, 3]
        following.close()

    def test_beyond_the_end(self, shop, log):
        """A cursor beyond the end gives a gap, and then what is new."""
        shop.store(lines(1))
        (event,) = log.read()
        incarnation = event.cursor.split(".")[1]
        beyond = f"n1.{incarnation}.9.0"
        following = log.follow_sync(after=beyond)
        gap = next(following)
        shop.store(lines(2))

        assert "beyond the end" in gap.reason
        assert next(following)["n"] == 2
        following.close()
        assert list(log.read(after=event.cursor, limit=5)) == list(log.last(1))

    def test_another_incarnation(self, shop, log):
        """A cursor of a stream that was deleted gives a gap, and all of the new one of its name."""
        shop.store(lines(1, 2))
        cursor = log.last(1)[0].cursor
        following = log.follow_sync(after=cursor)
        shop.store(lines(3))
        assert next(following)["n"] == 3
        done(shop.stream, shop.stream.api(f"STREAM.DELETE.{shop.stream.name}"))
        create(shop.stream, subjects=[f"{shop.subjects}.>"])
        shop.store(lines(4, 5))

        (gap, *rest) = log.read(after=cursor)
        followed = taken(following, 3)

        assert "made anew" in gap.reason
        assert numbers(rest) == [4, 5]
        assert ("made anew" in followed[0].reason, numbers(followed[1:])) == (True, [4, 5])
        assert page(log, after=cursor, newest_first=True).gap == gap

    def test_of_a_shipper(self, shop, log, caplog):
        """A gap that a shipper reported stands before its block, for all who read on there."""
        shop.store(lines(1))
        shop.store(lines(2, 3), gap=Gap("deleted", 1, 50))
        first, second, _ = log.read()
        gap = Gap("deleted", 1, 50, resumes="web1/shop")

        assert "deleted (50 bytes)" in caplog.text
        assert next(iter(log.read(after=first.cursor))) == gap
        assert numbers(log.read(after=second.cursor)) == [3]
        followed = taken(log.follow_sync(), 4)
        assert (numbers(followed[:1]), followed[1], numbers(followed[2:])) == ([1], gap, [2, 3])
        pages = page(log), page(log, after=first.cursor)
        assert [(numbers(each.events), each.gap) for each in pages] == [([1], None), ([2, 3], gap)]
        assert pages[0].more
        assert page(log, newest_first=True).gap == gap


class TestPages:
    @pytest.mark.parametrize("newest_first", [False, True])
    @pytest.mark.parametrize(("limit", "budget"), [(4, 10**6), (1, 10**6), (100, 1), (3, 40)])
    def test_all_events_once(self, shop, log, monkeypatch, newest_first, limit, budget):
        """Pages of any size have all events, each once, in both directions, with odd lines between."""
        monkeypatch.setattr(stored, "BATCH", 3)
        for number in range(0, 24, 3):
            shop.store(lines(number) + b'x\n{"n": %d}{"n": %d}\n\n' % (number + 1, number + 2))
        found, after, more = [], None, True
        while more:
            one = page(log, after=after, limit=limit, budget=budget, newest_first=newest_first)
            assert len(one.events) <= limit
            found += one.events
            after, more = one.next, one.more

        assert numbers(found) == (list(range(23, -1, -1)) if newest_first else list(range(24)))

    def test_live(self, shop, log):
        """The newest page says where following begins."""
        shop.store(lines(1, 2))
        live = page(log, newest_first=True, limit=1).live
        shop.store(lines(3))

        assert numbers(log.read(after=live)) == [3]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_messages_of_other_logs_count(self, shop, log, newest_first):
        """A page that finds nothing ends all the same after reading so much, and the next goes on there."""
        other = Place(shop.stream, log="other")
        for number in range(100):
            (shop if number == 50 else other).store(lines(number, pad="x" * 100))
        found, after, more = [], None, True
        while more:
            options = {"after": after, "budget": 1000, "newest_first": newest_first}
            answer = page(log, selection=Selection(where={"log": "shop"}), **options)
            found.append(numbers(answer.events))
            after, more = answer.next, answer.more

        assert [number for each in found for number in each] == [50]
        assert len(found) > 1

    def test_a_search_from_the_end_holds_so_many_messages(self, shop, log, monkeypatch):
        """Where long windows without a message end, the messages before them come all, and in order."""
        monkeypatch.setattr(stored, "HELD_MESSAGES", 3)
        monkeypatch.setattr(stored, "BATCH", 2)
        for number in range(30):
            shop.store(lines(number))
        for number in range(40):
            Place(shop.stream, "web2").store(lines(number))

        assert numbers(log.read(newest_first=True, where={"host": "web1"})) == list(range(29, -1, -1))

    def test_how_far_a_page_has_read(self, shop, log):
        """A page that does not reach the end has the time of the last line that it read."""
        for number in range(5):
            shop.store(line(n=number, timestamp=1_700_000_000 + number))

        assert page(log, limit=2).reached == 1_700_000_001
        assert page(log, selection=Selection(where="n=9"), budget=1).reached == 1_700_000_000
        assert page(log, limit=2, newest_first=True).reached == 1_700_000_003
        assert page(log).reached is None

    def test_the_event_at_the_cursor(self, shop, log):
        """Newest first, a page may begin with the event whose cursor it is given."""
        shop.store(lines(0, 1))
        shop.store(lines(2))
        for event in log.read():
            found = page(log, after=event.cursor, newest_first=True, including=True)
            assert numbers(found.events) == list(range(event["n"], -1, -1))

    def test_the_last_page(self, shop, log):
        """Its `next` is the end, after which newer events come."""
        shop.store(lines(1, 2))
        one = page(log)
        shop.store(lines(3))

        assert (numbers(one.events), one.more) == ([1, 2], False)
        assert numbers(page(log, after=one.next).events) == [3]


async def until(condition):
    """Return when *condition* holds."""
    while not condition():
        await asyncio.sleep(0.01)


def consumers(stream):
    """Return the number of consumers of a stream."""
    return done(stream, stream.info())["state"]["consumer_count"]
