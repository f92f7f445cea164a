"""Counts over HTTP: events by time and level, fields and values, and the ids of traces."""

from __future__ import annotations

import gzip
import json

import pytest

from chora_logging.web import Limits, create_app, limits
from tests.eventlog.writing import write
from tests.web.serving import all_pages, ask
from tests.web.test_pages import append

LOG = "/api/v1/orchestrator"
#: A full hour.
START = 1_735_689_600


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


@pytest.fixture
def app(log, tmp_path):
    return create_app({"orchestrator": log, "telemetry": tmp_path / "events.jsonl"})


class TestHistogram:
    def test_by_time_and_level(self, app, log):
        """Events are counted by interval and level; an unknown level is other, and a failure an error."""
        append(log, {"timestamp": START, "level": "INFO"}, {"timestamp": START + 59, "level": "info"})
        append(log, {"timestamp": START + 60, "level": 35}, {"timestamp": START + 60, "level": "loud"})
        append(log, {"timestamp": START + 60, "status": "failed"}, {"timestamp": START + 185, "n": 1})
        append(log, {"level": "INFO"})
        found = ask(app, f"{LOG}/histogram?step=1m").json()

        assert found["step"] == 60
        assert [(each["time"][11:19], each["counts"]) for each in found["intervals"]] == [
            ("00:00:00", {"INFO": 2}),
            ("00:01:00", {"WARNING": 1, "other": 1, "ERROR": 1}),
            ("00:03:00", {"other": 1}),
        ]
        assert (found["events"], found["without_time"], found["more"]) == (7, 1, False)

    def test_errors(self, app, log):
        """Events that report a failure are counted apart from levels, also those without a time."""
        append(
            log,
            {"timestamp": START, "level": "INFO", "status": "error"},
            {"timestamp": START, "level": "ERROR"},
        )
        append(log, {"timestamp": START + 60, "level": "INFO"}, {"status": "failed"})
        found = ask(app, f"{LOG}/histogram?step=1m").json()

        assert [each["errors"] for each in found["intervals"]] == [2, 0]
        assert (found["errors"], found["events"]) == (3, 4)

    @pytest.mark.parametrize("logs", ["orchestrator", "orchestrator,telemetry"])
    def test_up_to_a_page(self, app, log, logs):
        """With the `live` of a page of events the events up to it are counted, whatever came later."""
        append(log, *({"timestamp": START + n} for n in range(3)))
        live = ask(app, f"/api/v1/{logs}/events?order=desc&limit=1").json()["live"]
        append(log, *({"timestamp": START + n} for n in range(9)))

        assert ask(app, f"/api/v1/{logs}/histogram?to={live}").json()["events"] == 3
        assert ask(app, f"/api/v1/{logs}/histogram").json()["events"] == 12

    def test_of_several_logs(self, log, tmp_path):
        """The numbers of several logs are added; pages say of each how far it was read, and go on there."""
        other = tmp_path / "events.jsonl"
        app = create_app({"orchestrator": log, "telemetry": other, "empty": "none"}, limits=Limits(counted=1))
        for path in (log, other):
            append(path, *({"timestamp": START + n, "pad": "x" * 1000} for n in range(500)))
        lacking = ask(app, "/api/v1/orchestrator,telemetry/histogram?where=n!=1").json()
        found = all_pages(app, "/api/v1/orchestrator,telemetry,empty/histogram?step=1h")

        assert sum(page["events"] for page in found) == 1000
        assert set(found[0]["read_to"]) == {"orchestrator", "telemetry"}
        assert "read_to" not in found[-1]
        assert (lacking["missing"], lacking["events"]) == (["n"], 0)

    def test_of_a_selection(self, app, log):
        """The filters select what is counted, and say what they could not judge."""
        append(log, *({"timestamp": START + n, "level": "INFO", "n": n} for n in range(9)))
        append(log, {"level": "INFO", "n": 1})
        found = ask(app, f"{LOG}/histogram?since=2025-01-01T00:00:03Z&where=n<7").json()

        assert sum(sum(each["counts"].values()) for each in found["intervals"]) == found["events"] == 4
        assert found["unreadable"] == {"time": 1}

    @pytest.mark.parametrize(("seconds", "step"), [(1, 1), (300, 2), (86_400, 600), (10**8, 604_800)])
    def test_an_interval_of_its_own(self, app, log, seconds, step):
        """Without a length there are few intervals, whatever time is covered, of a length that people use."""
        append(log, *({"timestamp": START + n * seconds / 500} for n in range(500)))
        found = ask(app, f"{LOG}/histogram").json()

        assert found["step"] == step
        assert len(found["intervals"]) <= limits.CHOSEN_INTERVALS
        assert sum(sum(each["counts"].values()) for each in found["intervals"]) == 500

    def test_pages_add_up(self, log):
        """One answer reads so much and no more, says how far, and the next goes on there."""
        app = create_app({"orchestrator": log}, limits=Limits(counted=1))
        append(log, *({"timestamp": START + n, "pad": "x" * 1000} for n in range(1000)))
        found = all_pages(app, f"{LOG}/histogram?step=1h")

        assert len(found) > 2
        assert sum(page["events"] for page in found) == 1000
        assert all(list(page["read_to"]) == ["orchestrator"] for page in found[:-1])
        assert "read_to" not in found[-1]

    def test_so_many_intervals(self, app, log, monkeypatch):
        """An answer with the most intervals ends there; nothing is left out."""
        monkeypatch.setattr("chora_logging.web.counts.MOST_INTERVALS", 3)
        append(log, *({"timestamp": START + 60 * n} for n in range(8)))
        found = all_pages(app, f"{LOG}/histogram?step=1m")

        assert [len(page["intervals"]) for page in found] == [3, 3, 2]
        assert sum(page["events"] for page in found) == 8

    def test_live(self, app, log):
        """The first answer has the cursor after which a stream goes on."""
        write(log, 1)
        live = ask(app, f"{LOG}/histogram").json()["live"]
        write(log, 2)

        assert [event["n"] for event in ask(app, f"{LOG}/events?after={live}").json()["events"]] == [2]

    def test_the_earliest_time(self, app, log):
        """An interval that would begin before all times begins with them."""
        append(log, {"timestamp": "0002-01-02T00:00:00Z"})

        assert ask(app, f"{LOG}/histogram?step=999d").json()["intervals"][0]["time"].startswith("0002")

    @pytest.mark.parametrize("step", ["0s", "1", "1y", "1000d", "-1m", "1m "])
    def test_a_bad_length(self, app, step):
        """A length that is none is refused."""
        answer = ask(app, f"{LOG}/histogram?step={step}")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")
        assert "step must be a length of time such as 30s, 1m, 1h or 1d" in answer.json()["detail"]


class TestFields:
    def test_names_and_values(self, app, log):
        """The fields of the newest events, with the most frequent values of each."""
        append(log, {"user": "old"})
        append(log, *({"user": "anna" if n % 3 else "bob", "http": {"status": 200}} for n in range(9)))
        append(log, {"user": True, "tags": ["a", "b", {}], "n": 1})
        found = ask(app, f"{LOG}/fields?limit=10").json()

        by_name = {field.pop("name"): field for field in found["fields"]}
        assert by_name["user"]["values"] == [
            {"value": "anna", "events": 6},
            {"value": "bob", "events": 3},
            {"value": True, "events": 1},
        ]
        assert by_name["http.status"] == {"events": 9, "values": [{"value": 200, "events": 9}], "others": 0}
        assert [each["value"] for each in by_name["tags[]"]["values"]] == ["a", "b"]
        assert (found["events"], found["more"], list(found["read_to"])) == (10, True, ["orchestrator"])

    def test_of_a_selection(self, app, log):
        """The filters select the events."""
        append(log, {"n": 1, "a": 1}, {"n": 2, "b": 2})

        found = ask(app, f"{LOG}/fields?where=n=1").json()["fields"]

        assert [field["name"] for field in found] == ["a", "n"]

    def test_so_many(self, app, log):
        """Of many fields and many values so many are counted, and the others are said."""
        append(log, {f"f{n}": n for n in range(600)}, *({"id": n, "long": "x" * 999} for n in range(300)))
        found = ask(app, f"{LOG}/fields").json()

        by_name = {field["name"]: field for field in found["fields"]}
        assert len(by_name) == 500
        assert found["others"] == 600 - 498
        assert (len(by_name["id"]["values"]), by_name["id"]["others"]) == (20, 280)
        assert (by_name["long"]["values"], by_name["long"]["others"]) == ([], 300)

    def test_hostile_ones(self, app, log):
        """Names and values that JSON does not have are answered all the same."""
        log.write_bytes(b'{"\\ud800": "\\udfff", "n": NaN, "big": 123456789012345678901234567890}\n')
        answer = ask(app, f"{LOG}/fields")

        assert answer.status_code == 200
        assert {field["name"] for field in answer.json()["fields"]} == {"\ufffd", "n", "big"}


class TestTraceIds:
    def test_by_prefix(self, app, log, tmp_path):
        """The ids that begin with the prefix come from all logs, the newest first, each once."""
        append(log, *({"trace_id": f"ab{n}", "timestamp": START + n} for n in range(3)), {"trace_id": "b"})
        append(tmp_path / "events.jsonl", {"trace_id": "ab0", "timestamp": START + 9}, {"trace_id": "abx"})

        assert ask(app, f"{LOG}/traces?prefix=ab").json()["trace_ids"] == ["ab0", "ab2", "ab1", "abx"]
        assert ask(app, f"{LOG}/traces?prefix=ab1").json()["trace_ids"] == ["ab1"]
        assert set(ask(app, f"{LOG}/traces").json()["trace_ids"]) == {"ab0", "ab1", "ab2", "abx", "b"}

    @pytest.mark.parametrize("prefix", ["a/b", 'a"', "{", "ü"])
    def test_any_text(self, app, log, prefix):
        """A prefix may be any text."""
        append(log, {"trace_id": f"{prefix}1"}, {"trace_id": 7})

        assert ask(app, f"{LOG}/traces", params={"prefix": prefix}).json()["trace_ids"] == [f"{prefix}1"]

    @pytest.mark.parametrize("limit", [1, 2, 7])
    def test_pages_have_all(self, log, limit):
        """One answer reads so much and no more; with `next` all ids are found."""
        app = create_app({"orchestrator": log}, limits=Limits(counted=1))
        append(log, *({"trace_id": f"t{n // 100}", "pad": "x" * 1000} for n in range(1000)))
        found = all_pages(app, f"{LOG}/traces?prefix=t&limit={limit}")

        assert {trace_id for page in found for trace_id in page["trace_ids"]} == {f"t{n}" for n in range(10)}
        assert all(len(page["trace_ids"]) <= limit + 1 for page in found)
        assert all("read_to" in page for page in found[:-1])


class TestWhatIsMissing:
    """What cannot be read is said wherever events are shown or counted."""

    @pytest.fixture(autouse=True)
    def damaged(self, log):
        """A live file with one event, and a backup that can be unpacked in part."""
        lines = [{"timestamp": START + n, "trace_id": "t", "n": n} for n in range(1000)]
        packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        log.with_name("orch.log.1.gz").write_bytes(packed[: len(packed) // 2])
        append(log, {"timestamp": START + 1000, "trace_id": "t", "n": 1000})

    @pytest.mark.parametrize("what", ["histogram?step=1m", "fields"])
    def test_of_one_log(self, app, what):
        """An answer that counts events also has those from before a gap, and says what is missing."""
        found = ask(app, f"{LOG}/{what}").json()

        assert 1 < found["events"] < 1000
        assert found["more"] is False
        assert "damaged" in found["gap"]["reason"]
        assert found["gap"]["until"] == "2025-01-01T00:16:40.000000Z"
        assert found["skipped"] == 1

    @pytest.mark.parametrize("log_names", ["orchestrator,telemetry", "telemetry,orchestrator"])
    def test_of_several_logs(self, app, log_names):
        """It says of which log."""
        found = ask(app, f"/api/v1/{log_names}/histogram").json()

        assert 1 < found["events"] < 1000
        assert list(found["gaps"]) == ["orchestrator"]

    def test_of_the_ids_of_traces(self, app):
        """There may be traces among what is missing."""
        found = ask(app, f"{LOG}/traces").json()

        assert (found["trace_ids"], found["more"], found["skipped"]) == (["t"], False, 1)
        assert "damaged" in found["gaps"]["orchestrator"]["reason"]

    @pytest.mark.parametrize("what", ["events?order=desc", "traces/t?limit=100"])
    def test_of_pages(self, app, what):
        """Pages in descending order say it in its place, once."""
        pages = all_pages(app, f"{LOG}/{what}")

        gaps = [
            page["gap"] if "gap" in page else page["gaps"]["orchestrator"]
            for page in pages
            if page.keys() & {"gap", "gaps"}
        ]
        assert ["damaged" in gap["reason"] for gap in gaps] == [True]
        assert sum(len(page["events"]) for page in pages[:1]) == 1

    def test_around_an_event(self, app):
        """The events around one may have a gap among them."""
        cursor = ask(app, f"{LOG}/events?order=desc&cursors=true").json()["cursors"][0]
        found = ask(app, f"{LOG}/events/{cursor}?before=3").json()

        assert len(found["before"]) == 3
        assert "damaged" in found["gap"]["reason"]
        assert "gap" not in ask(app, f"{LOG}/events/{cursor}?before=0").json()


@pytest.mark.parametrize("what", ["events", "events?order=desc", "histogram", "fields", "traces", "traces/t"])
def test_an_unended_line(app, log, what):
    """Every answer that has the end of a log says that a line there is not ended, and not given yet."""
    append(log, {"timestamp": START, "trace_id": "t"})
    assert "unended_bytes" not in ask(app, f"{LOG}/{what}").json()
    with open(log, "a") as file:
        file.write('{"n"')

    assert ask(app, f"{LOG}/{what}").json()["unended_bytes"] == 4
