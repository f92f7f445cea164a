"""One thread feeds all followers of a log in a process, and none of them disturbs another."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import multiprocessing
import os
import resource
import signal
import threading
import time
import weakref

import pytest

from chora_logging.eventlog import EventLog, following, subscription
from chora_logging.eventlog import feed as feeds
from tests.eventlog.writing import (
    DEADLINE,
    Writer,
    line,
    members,
    numbers,
    open_files,
    threads_of,
    until,
    when_followed,
    write,
)


@pytest.fixture
def log(tmp_path):
    """A log with one event and no followers before and after the test."""
    path = str(tmp_path / "app.log")
    write(path, 0)
    assert not threads_of(path)
    yield path
    gc.collect()
    until(lambda: not threads_of(path) and not open_files(path))


async def soon(condition):
    """Like `until`, in an event loop."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


def counted_looks(monkeypatch):
    """Return a list that grows by one at the beginning of each check of a log."""
    looks = []
    look = following.Follower._stat

    def counted(self):
        looks.append(1)
        return look(self)

    monkeypatch.setattr(following.Follower, "_stat", counted)
    return looks


def run(main):
    """Run the coroutine *main* in a new event loop."""
    return asyncio.run(asyncio.wait_for(main, DEADLINE))


async def collect(batches, found):
    """Append all items to *found*."""
    async with contextlib.aclosing(batches):
        async for items in batches:
            found += items


@contextlib.asynccontextmanager
async def collecting(log, count):
    """Start *count* subscribers; return the items of each, and their tasks."""
    found = [[] for _ in range(count)]
    tasks = [asyncio.create_task(collect(EventLog(log).follow_batches(), into)) for into in found]
    try:
        yield found, tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fed(log, count):
    """Wait until *count* subscribers take from the feed of *log*, and only the feed has a file open."""
    await soon(lambda: members(log) == count and open_files(log) == 1)


class TestSharing:
    def test_one_thread_and_one_file(self, log):
        """100 subscribers cost one thread and one open file; each gets every event, the same objects."""

        async def main():
            async with collecting(log, 100) as (found, _):
                await fed(log, 100)
                threads = len(threads_of(log))
                write(log, *range(1, 30))
                await soon(lambda: all(len(into) == 30 for into in found))
                return threads, found

        threads, found = run(main())

        assert threads == 1
        assert all(numbers(into) == list(range(30)) for into in found)
        assert all(into[1:] == found[0][1:] for into in found)
        assert all(mine is theirs for into in found for mine, theirs in zip(into[1:], found[0][1:]))

    def test_loops_and_threads(self, log):
        """Subscribers in several event loops and threads are fed by one thread."""
        found = [[] for _ in range(6)]
        done = threading.Event()

        async def main(into):
            async with collecting(log, 1) as (got, _):
                await soon(lambda: len(got[0]) == 21)
                into += got[0]
                await soon(done.is_set)

        def sync(into):
            with contextlib.closing(EventLog(log).follow_sync()) as following:
                while len(into) < 21:
                    into.append(next(following))
                done.wait()

        threads = [threading.Thread(target=asyncio.run, args=(main(into),)) for into in found[:3]]
        threads += [threading.Thread(target=sync, args=(into,)) for into in found[3:]]
        for thread in threads:
            thread.start()
        until(lambda: members(log) == 6)
        for number in range(1, 21):
            write(log, number)
        until(lambda: all(len(into) == 21 for into in found))
        feeding = len(threads_of(log))
        done.set()
        for thread in threads:
            thread.join()

        assert feeding == 1
        assert all(numbers(into) == list(range(21)) for into in found)

    def test_looks_do_not_multiply(self, log, monkeypatch):
        """A log at rest is checked as often for 50 subscribers as for one."""
        looks = counted_looks(monkeypatch)

        async def main():
            async with collecting(log, 50):
                await fed(log, 50)
                before, began = len(looks), time.monotonic()
                await asyncio.sleep(0.3)
                return len(looks) - before, time.monotonic() - began

        seen, elapsed = run(main())

        # Now and then it checks twice: an apparently unchanged file is read all the same.
        assert 0 < seen <= (elapsed / subscription.LONGEST_POLL_SECONDS + 2) * 1.1

    def test_a_log_that_is_not_there(self, tmp_path):
        """Subscribers that wait for a missing log are fed too, from its first event on."""
        path = str(tmp_path / "later.log")

        async def main():
            async with collecting(path, 5) as (found, _):
                await soon(lambda: members(path) == 5)
                write(path, 0, 1)
                await soon(lambda: all(len(into) == 2 for into in found))
                return found

        assert [numbers(into) for into in run(main())] == [[0, 1]] * 5

    def test_a_line_in_parts(self, log, monkeypatch):
        """A line comes when it is complete, also when it was cut within a character; then once."""
        data = '{"n": 1, "text": "ä"}\n'.encode()
        looks = counted_looks(monkeypatch)

        async def main():
            async with collecting(log, 3) as (found, _):
                await fed(log, 3)
                for part in (data[:5], data[5:19], data[19:]):
                    before = [len(into) for into in found]
                    with open(log, "ab") as file:
                        file.write(part)
                    seen = len(looks)
                    await soon(lambda: len(looks) > seen + 1)  # the next one has ended too
                await soon(lambda: all(len(into) == 2 for into in found))
                write(log, 2)
                await soon(lambda: all(len(into) == 3 for into in found))
                return before, found

        before, found = run(main())

        assert before == [1, 1, 1]
        assert data[18:20] == "ä".encode()
        assert [[event.get("text") for event in into] for into in found] == [[None, "ä", None]] * 3

    def test_one_by_one_they_are_own(self, log):
        """A subscriber of `follow` that changes its events changes them for no other."""
        with (
            contextlib.closing(EventLog(log).follow_sync(after="end")) as one,
            contextlib.closing(EventLog(log).follow_sync(after="end")) as other,
            when_followed(log, lambda: write(log, 1), count=2),
        ):
            results = []
            waiting = threading.Thread(target=lambda: results.append(next(other)))
            waiting.start()
            event = next(one)
            event.clear()
            waiting.join()

        assert numbers(results) == [1]
        assert event.cursor == results[0].cursor

    def test_filters(self, log):
        """Each subscriber gets the events of its own filters."""

        async def main():
            found = [[], []]
            tasks = [
                asyncio.create_task(collect(EventLog(log).follow_batches(where={"n": n}), found[n]))
                for n in (0, 1)
            ]
            await fed(log, 2)
            write(log, 1, 0, 2)
            await soon(lambda: [len(into) for into in found] == [2, 1])
            for task in tasks:
                task.cancel()
            return [numbers(into) for into in found]

        assert run(main()) == [[0, 0], [1]]

    def test_skipped_lines(self, log):
        """Malformed lines are reported to each subscriber, also by the feed."""
        told = [[], []]

        async def main():
            async def follow(into):
                async for event in EventLog(log, on_skip=into.append).follow():
                    if event["n"] == 2:
                        return

            tasks = [asyncio.create_task(follow(into)) for into in told]
            await fed(log, 2)
            with open(log, "ab") as file:
                file.write(b"text\n" + line(2))
            await asyncio.gather(*tasks)

        run(main())

        assert [[skipped.line for skipped in into] for into in told] == [[b"text"]] * 2


class TestSlowness:
    def test_behind_what_is_kept(self, log, monkeypatch):
        """A subscriber that falls behind the buffer reads from the files; the others do not wait."""
        monkeypatch.setattr(feeds, "BUFFERED_ITEMS", 10)
        writer = Writer(log, keep=100)
        writer.count = 1

        async def main():
            slow = EventLog(log).follow()
            found = [await anext(slow)]
            found.append(await_first := asyncio.create_task(anext(slow)))
            async with collecting(log, 1) as (fast, _):
                await fed(log, 2)
                for count in range(1, 20):
                    writer.write(5)
                    if count % 3 == 0:
                        writer.rotate()
                    await soon(lambda wanted=5 * count: len(fast[0]) == 1 + wanted)
                (kept,) = [len(feed._batches) for feed in feeds._feeds.values()]
                found[1] = await await_first
                while len(found) < 96:
                    found.append(await anext(slow))
                await slow.aclose()
                return kept, found, fast[0]

        kept, found, fast = run(main())
        writer.close()

        assert kept <= 10
        assert numbers(fast) == list(range(96))
        assert numbers(found) == list(range(96))

    def test_a_stalled_reader_holds_no_file(self, log):
        """A stalled subscriber keeps no deleted file on the disk, and does not block the writer."""
        writer = Writer(log)

        async def main():
            stalled = EventLog(log).follow()
            await anext(stalled)
            waiting = asyncio.create_task(anext(stalled))
            await fed(log, 1)
            writer.write(1)
            await waiting
            for _ in range(8):
                writer.write(1)
                writer.rotate()
            writer.write(1)
            writer.close()
            # The feed holds the newest file.
            await soon(lambda: deleted_files(log) == 0 and open_files(log) == 1)
            await stalled.aclose()

        run(main())

    def test_a_busy_task_lets_others_run(self, log):
        """A subscriber that always has events does not block its event loop."""
        turns = 0

        async def main():
            nonlocal turns
            stop = threading.Event()

            def work():
                number = 0
                while not stop.is_set():
                    write(log, *range(number, number + 20))
                    number += 20

            async def read():
                async for _ in EventLog(log).follow_batches():
                    time.sleep(0.002)  # slower than the writer, without ever waiting for anything

            reader = asyncio.create_task(read())
            await fed(log, 1)
            thread = threading.Thread(target=work)
            thread.start()
            while turns < 50:
                await asyncio.sleep(0)
                turns += 1
            stop.set()
            thread.join()
            reader.cancel()

        run(main())

        assert turns == 50


def deleted_files(log):
    """Return the number of deleted files of *log* that this process holds open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(f"/proc/self/fd/{fd}")
            found += name.startswith(log) and name.endswith("(deleted)")
    return found


class TestEnds:
    """After each test the fixture checks that no thread and no open file is left."""

    def test_closed(self, log):
        """Closing the last subscriber ends the thread and closes the file, immediately if nobody reads it."""
        one, other = (EventLog(log).follow_sync() for _ in range(2))
        next(one), next(other)
        with (
            concurrent.futures.ThreadPoolExecutor(2) as pool,
            when_followed(log, lambda: write(log, 1), count=2),
        ):
            found = list(pool.map(next, (one, other)))
        assert numbers(found) == [1, 1]
        one.close()
        between = len(threads_of(log))
        other.close()

        assert between == 1

    def test_cancelled(self, log):
        """A cancelled subscriber leaves; the others continue."""

        async def main():
            async with collecting(log, 3) as (found, tasks):
                await fed(log, 3)
                tasks[0].cancel()
                await asyncio.wait([tasks[0]])
                write(log, 1)
                await soon(lambda: [len(into) for into in found] == [1, 2, 2])
                return members(log)

        assert run(main()) == 2

    def test_dropped(self, log):
        """An unreferenced subscriber leaves, in an event loop and outside."""

        async def main():
            dropped = EventLog(log).follow(after="end")
            waiting = asyncio.create_task(anext(dropped))
            await fed(log, 1)
            write(log, 1)
            await waiting
            before = members(log)
            del dropped, waiting
            await soon(lambda: gc.collect() is not None and members(log) == 0)
            return before

        assert run(main()) == 1
        sync = EventLog(log).follow_sync(after="end")
        with when_followed(log, lambda: write(log, 2)):
            next(sync)
        assert members(log) == 1
        del sync

    def test_never_begun(self, log):
        """A subscriber that is never iterated costs nothing."""
        EventLog(log).follow()
        EventLog(log).follow_sync()

        assert not threads_of(log)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_loop_that_was_closed(self, log):
        """A subscriber that waits in a closed event loop is dropped."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # asyncio complains of the task that it destroys
        task = loop.create_task(collect(EventLog(log).follow_batches(), []))
        loop.run_until_complete(fed(log, 1))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        gone = weakref.ref(task)
        del task

        until(lambda: gc.collect() is not None and gone() is None and members(log) == 0)

    def test_an_interrupt(self, log):
        """Ctrl-C ends `follow_sync` while it waits."""
        sync = EventLog(log).follow_sync()
        next(sync)
        main = threading.main_thread().ident

        def interrupt():
            until(lambda: members(log) == 1)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(sync)
        thread.join()


class TestErrors:
    def test_each_meets_it_by_itself(self, log):
        """A log that can no longer be opened is an error for each subscriber, after the last events."""

        async def main():
            async with collecting(log, 3) as (found, tasks):
                await fed(log, 3)
                write(log, 1)
                await soon(lambda: all(len(into) == 2 for into in found))
                with without_descriptors():
                    os.truncate(log, 0)
                    done, _ = await asyncio.wait(tasks)
                return [type(task.exception()) for task in done], found

        errors, found = run(main())

        assert errors == [OSError] * 3
        assert all(numbers(into) == [0, 1] for into in found)

    def test_what_passes_is_survived(self, log, monkeypatch):
        """An error of the feed alone ends no subscriber: all read on and join a new feed."""
        broken = threading.Event()
        poll = following.Follower.poll_items

        def poll_items(self):
            if broken.is_set() and threading.current_thread().name.startswith("follow "):
                broken.clear()
                raise OSError("for a moment")
            return poll(self)

        monkeypatch.setattr(following.Follower, "poll_items", poll_items)

        async def main():
            async with collecting(log, 3) as (found, _):
                await fed(log, 3)
                broken.set()
                write(log, 1)
                await soon(lambda: not broken.is_set())
                write(log, 2)
                await soon(lambda: all(len(into) == 3 for into in found))
                await fed(log, 3)
                return found

        assert all(numbers(into) == [0, 1, 2] for into in run(main()))


@contextlib.contextmanager
def without_descriptors():
    """Make every open fail."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def follow_in_child(log, following, results):
    """The body of a forked process: its parent's subscriber, and one of its own."""
    own = EventLog(log).follow_sync()
    found = [numbers(next(one) for _ in range(count)) for one, count in [(following, 2), (own, 5)]]

    def say_when_it_waits():
        until(lambda: threads_of(log))
        results.put("ready")

    threading.Thread(target=say_when_it_waits).start()
    found[0].append(next(following)["n"])
    results.put((found, len(threads_of(log))))
    following.close()
    own.close()


class TestForks:
    def test_a_child_has_a_feed_of_its_own(self, log):
        """In a forked child the inherited subscriber continues with a new feed; so does the parent's."""
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        write(log, 1)
        inherited = EventLog(log).follow_sync(after="end")
        with when_followed(log, lambda: write(log, 2)):
            next(inherited)
        child = context.Process(target=follow_in_child, args=(log, inherited, results))
        child.start()
        write(log, 3)
        parents = [next(inherited)["n"]]
        write(log, 4)
        parents.append(next(inherited)["n"])
        assert results.get(timeout=DEADLINE) == "ready"
        write(log, 5)
        found, threads = results.get(timeout=DEADLINE)
        child.join(DEADLINE)
        inherited.close()

        assert parents == [3, 4]
        assert found == [[3, 4, 5], [0, 1, 2, 3, 4]]
        assert threads == 1
        assert child.exitcode == 0

    def test_any_moment(self, log):
        """50 forks while a log is written and followed: no child hangs."""
        stop = threading.Event()

        def work():
            number = 1
            while not stop.is_set():
                write(log, number)
                number += 1

        async def main():
            async with collecting(log, 4):
                await fed(log, 4)
                return await asyncio.to_thread(fork_often)

        def fork_often():
            writer = threading.Thread(target=work)
            writer.start()
            children = []
            for _ in range(50):
                pid = os.fork()
                if not pid:
                    with contextlib.closing(EventLog(log).follow_sync()) as following:
                        found = [next(following)["n"] for _ in range(3)]
                    os._exit(found != [0, 1, 2])
                children.append(pid)
            stop.set()
            writer.join()
            return [os.waitpid(pid, 0)[1] for pid in children]

        assert run(main()) == [0] * 50
