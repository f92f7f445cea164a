"""The pure functions of the page, called in the browser on many inputs."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.eventlog import meaning
from chora_logging.eventlog.conditions import parse_condition
from chora_logging.eventlog.events import strict_json
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.tracebacks import traceback_of
from tests import meanings

SOME = settings(max_examples=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
LAYOUTS = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])


@pytest.fixture(scope="module")
def call(site, browser):
    """Call a function of one of the page's modules with JSON arguments."""
    page = browser.new_page()
    page.goto(site.url)

    def call(module, function, *arguments):
        return page.evaluate(
            """async ([module, code, given]) => {
              const found = await import(`./viewer/${module}.js`);
              return code in found ? found[code](...given) : window.wrapped[code](found, ...given);
            }""",
            [module, function, arguments],
        )

    page.evaluate(
        """() => { window.wrapped = {
          decode: ({ Decoder }, pieces) => {
            const decoder = new Decoder();
            return [pieces.flatMap((piece) => decoder.decode(piece)), decoder.retry];
          },
          meaning: ({ LogEvent }, raw) => {
            const { level, isError, name, message, traceId, duration, time } = new LogEvent(raw);
            const known = Number.isNaN(time) ? null : time;
            return { level, isError, name, message, traceId, duration, time: known };
          },
          bars: ({ Counts, stepFor }, number) => {
            const counts = new Counts();
            const none = { intervals: [], events: 0, errors: 0, without_time: 0, more: false, next: null };
            counts.addPage({ step: 1, ...none });
            for (let n = 0; n < number; n += 1) {
              counts.add({ time: 7000 * n, level: "INFO", isError: n % 2 === 0 });
            }
            const [from, to] = counts.span;
            const bars = [...counts.bars(from, to, stepFor(to - from, 100, counts.step)).values()];
            return [bars.length, bars.reduce((sum, bar) => sum + bar.events, 0), counts.errors];
          },
          tree: async ({ treeOf, rowsOf }, raws) => {
            const { LogEvent } = await import("./viewer/log_event.js");
            const events = raws.map((raw, n) => new LogEvent(raw, 0, undefined, "a", String(n)));
            return rowsOf(treeOf(events), () => false).map(([step, depth]) => [
              Number(step.event.cursor), step.began && Number(step.began.cursor), depth, step.isCritical,
            ]);
          },
          slowest: async ({ treeOf, stepsOf, slowestOf }, raws) => {
            const { LogEvent } = await import("./viewer/log_event.js");
            const events = raws.map((raw, n) => new LogEvent(raw, 0, undefined, "a", String(n)));
            const found = slowestOf(stepsOf(treeOf(events)));
            return found && [Number(found.step.event.cursor), found.own];
          },
          stored: ({ Store }, number) => {
            const store = new Store();
            const raw = '{"time":"2025-10-17T12:00:00Z"}';
            const entry = (n) => ({ log: "a", cursor: String(n), raw });
            for (let n = 0; n < number; n += 1) store.add(entry(n));
            const held = store.held;
            store.prepend([entry(-1)]);
            const [last] = store.view.slice(-1);
            const { isWhole, isFull } = store;
            return { held, added: store.held - held, isWhole, isFull, last: last.cursor };
          },
          paused: ({ Store }, number) => {
            const store = new Store();
            store.add({ log: "a", cursor: "before", raw: "{}" });
            store.pause();
            const raw = `{"long":"${"x".repeat(1_000_000)}"}`;
            for (let n = 0; n < number; n += 1) store.add({ log: "a", cursor: String(n), raw });
            const { waiting, held } = store;
            store.resume();
            const cursors = store.view.map((event) => event.cursor);
            return { waiting, held, cursors, isWhole: store.isWhole };
          },
          pieces: ({ format }, depth) => format("[".repeat(depth) + "]".repeat(depth)).length,
        }; }"""
    )
    yield call
    page.close()


class TestJson:
    @SOME
    @given(st.data())
    def test_format_changes_white_space_only(self, call, data):
        """A formatted document is the same document, to the digit."""
        value, layout = data.draw(VALUES), data.draw(LAYOUTS)
        laid_out = "".join(piece for _, piece in call("json", "format", json.dumps(value, **layout)))

        assert json.dumps(json.loads(laid_out)) == json.dumps(value)
        if isinstance(value, dict | list) and value:
            assert laid_out.startswith(("{\n  ", "[\n  "))

    @SOME
    @given(st.data())
    def test_members_and_elements(self, call, data):
        """The members of an object and the elements of an array are found as they are written."""
        fields = data.draw(st.dictionaries(TEXT, VALUES))
        layout = data.draw(LAYOUTS)
        members = call("json", "members", json.dumps(fields, **layout))
        elements = call("json", "elements", json.dumps(list(fields.values()), **layout))

        assert [(key, json.dumps(json.loads(raw))) for key, raw in members] == [
            (key, json.dumps(value)) for key, value in fields.items()
        ]
        assert [json.dumps(json.loads(raw)) for raw in elements] == [
            json.dumps(value) for value in fields.values()
        ]

    def test_numbers_keep_every_digit(self, call):
        """A number is written as it was logged, however large or exact."""
        raw = '{"a":9007199254740993,"b":-0.0,"c":1e400,"d":0.10000000000000000001}'

        assert call("json", "members", raw) == [
            ["a", "9007199254740993"],
            ["b", "-0.0"],
            ["c", "1e400"],
            ["d", "0.10000000000000000001"],
        ]

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "{",
            '{"',
            '{"a',
            '{"a":',
            '{"a":[',
            '{"a":}',
            "[",
            "[1",
            "nope",
            '"\\',
            "]",
            "}{",
            "{,}",
            "[,,",
            '{"a" "b"}',
        ],
    )
    def test_what_is_no_json_has_some_answer(self, call, raw):
        """Text that is not JSON gives some result, without an endless loop."""
        assert isinstance(call("json", "members", raw), list)
        assert isinstance(call("json", "elements", raw), list)
        assert isinstance(call("json", "format", raw), list)

    def test_depth_does_not_matter(self, call):
        """A document that is nested a hundred thousand deep is formatted like any other."""
        assert call("json", "pieces", 100_000) == 4 * 100_000 - 3


#: A stream with each form of line and field of the specification, and its messages.
STREAM = (
    ":comment\nretry: 250\n\nid: 1\ndata: a\ndata:b\r\nevent: gap\r\n\r\n"
    "data: \rid\r\rdata\n\nid: x\0\ndata: ü\u2028\n\nnonsense: 1\n\ndata: torn"
)
MESSAGES = [
    {"name": "gap", "data": "a\nb", "id": "1"},
    {"name": "message", "data": "", "id": ""},
    {"name": "message", "data": "", "id": ""},
    {"name": "message", "data": "ü\u2028", "id": ""},
]


#: Names that mean something, objects that have such names, and what they may have.
NAMES = st.sampled_from(
    sorted(
        {part for names in meaning.NAMES.values() for name in names for part in (name, name.split(".")[0])}
    )
)
SCALARS = st.sampled_from(
    [
        *(None, "", True, 0, 5, 30, 40, 1e308, -1, 1759060800, 1759060800123, 1759060800123456, 10**30),
        *("error", "Level 35", "loud", "INFO+2", "2025-09-28T12:00:00,123+0000", "2025-09-28 12:00:00"),
        *("2025-09-31", "12:00", "1.5s", "12 ms", "a/b", "000", "made", "Event: made"),
    ]
)
INNER = st.sampled_from(["id", "level", "action", "duration", "message", "stack", "time"])
FIELDS = st.dictionaries(NAMES, SCALARS | st.dictionaries(INNER, SCALARS, max_size=2), max_size=5)


class TestLogEvent:
    EVENTS = (
        *(case.event for case in meanings.CASES),
        *({"timestamp": value} for value, _ in meanings.TIMES),
        *({"duration_ms": value} for value, _ in meanings.DURATIONS),
        *(fields for fields, _ in meanings.NAMES + meanings.MESSAGES),
        *({"trace_id": value} for value, _ in meanings.TRACES),
        *(fields for fields, _ in meanings.OTHER_TIMES + meanings.OTHER_DURATIONS + meanings.OTHER_TRACES),
    )

    @pytest.mark.parametrize("event", EVENTS, ids=str)
    def test_an_event_means_the_same_as_elsewhere(self, call, event):
        """An event has the same level, error, name, message, trace, duration and time as in Python."""
        found = call("log_event", "meaning", strict_json(event).decode())

        assert found == {
            **self.answers(event),
            "name": meaning.event_of(event) or "",
            "message": meaning.message_of(event) or "",
            "traceId": meaning.trace_of(event) or "",
        }

    @settings(SOME, max_examples=300)
    @given(FIELDS)
    def test_any_event_means_the_same(self, call, event):
        """Whatever the fields hold, the answers are the same; those that are text are compared as text."""
        found = call("log_event", "meaning", strict_json(event).decode())
        texts = {
            "name": meaning.event_of(event),
            "message": meaning.message_of(event),
            "traceId": meaning.trace_of(event) if not isinstance(event.get("trace_id"), dict) else {},
        }

        assert found == {
            **self.answers(event),
            **{
                name: text or "" if isinstance(text, str | None) else found[name]
                for name, text in texts.items()
            },
        }

    def answers(self, event):
        """The answers of Python that are no texts of the event."""
        time = meaning.time_of(event)
        return {
            "level": meaning.level_of(event) or "",
            "isError": meaning.is_error(event),
            "duration": meaning.duration_of(event),
            "time": None if time is None else pytest.approx(time * 1000, abs=0.001),
        }


FRAMES = [{"file": "a.py", "line": 3, "function": "f", "code": "g()"}, {"file": 3, "line": True}]
OURS = {"type": "ValueError", "message": "boom", "stack": FRAMES, "notes": ["hint", 7]}
STRUCTLOGS = {"exc_type": "KeyError", "exc_value": "'id'", "frames": [{"filename": "b.py", "lineno": 4}]}


class TestTracebacks:
    @pytest.mark.parametrize(
        "value",
        [
            "Traceback\nValueError",
            " ",
            ["Traceback\n", "ValueError"],
            [],
            [1],
            OURS,
            {**OURS, "frames_omitted": 9, "cause": OURS, "context": {"type": "E"}},
            {**OURS, "exceptions": [OURS, {**OURS, "exceptions": [{"type": "Inner"}, 3]}], "context": {}},
            {"type": 3},
            {"message": "no type"},
            [STRUCTLOGS, {**STRUCTLOGS, "is_cause": True, "exceptions": [[STRUCTLOGS], [{}]]}, STRUCTLOGS],
            [STRUCTLOGS, {}],
            None,
            7,
        ],
        ids=str,
    )
    def test_the_same_text(self, call, value):
        """An exception of any form is the same text as in Python."""
        assert call("traceback", "tracebackOf", strict_json(value).decode()) == (traceback_of(value) or "")


class TestExpressions:
    @pytest.mark.parametrize(
        ("typed", "found"),
        [
            *((text, ["", text]) for text in ("reset", "GET /a?b=c", "", "a b", "<b>")),
            *(
                (text, [text, ""])
                for text in ("a=b", "not a.b >= 1", '"a b"=c', "items[].price>10", 'a=""', "m~=x|y")
            ),
            *((text, ["", ""]) for text in ("a>", "a=", "not a:", "b ~= ")),
            ('"a=b"', ["", "a=b"]),
        ],
    )
    def test_what_is_typed(self, call, typed, found):
        """A condition is told from a text, as the server tells it; one without its value is none yet."""
        read = call("expression", "read", typed)

        assert [read["where"], read["text"]] == found
        if read["where"]:
            parse_condition(read["where"])

    @SOME
    @given(
        st.dictionaries(
            TEXT, st.one_of(st.none(), st.booleans(), st.integers(), TEXT), min_size=1, max_size=2
        )
    )
    def test_a_value_selects_its_event(self, call, event):
        """The condition made of a value is met by its event, and the negated one is not."""
        ((name, value), *_) = event.items()
        made = [
            call("expression", "condition", [name], json.dumps(value, ensure_ascii=False), no)
            for no in (False, True)
        ]

        assert [Selection(where=where).matches(event) for where in made if where] == [True, False][
            : 2 * (made[0] is not None)
        ]


class TestCsv:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            *(
                (text, f"'{text}")
                for text in ("=1+1", "+a", "-a", "@a", "\uff1da", "\x01=a", " =a", "\ta", "\u200b=a")
            ),
            *((text, text) for text in ("a=b", "-5", "+1.5e3", "", "\uff1e")),
            ("\ra", '"\'\ra"'),
            ('=a,"b"', '"\'=a,""b"""'),
        ],
    )
    def test_no_cell_is_a_formula(self, call, value, written):
        """A cell that a spreadsheet would run gets an apostrophe; what has a separator is quoted."""
        assert call("csv", "cell", value) == written


def test_counts_of_days(call):
    """However long a page follows, its intervals are few, and none of its events is left out."""
    bars, events, errors = call("counts", "bars", 20_000)

    assert (events, errors) == (20_000, 10_000)
    assert bars <= 101


@pytest.mark.whole
def test_a_hundred_thousand_events(call):
    """A list has a hundred thousand events; of more, the newest stay."""
    found = call("store", "stored", 115_000)

    assert 100_000 <= found["held"] <= 110_000
    assert found == {"held": found["held"], "added": 1, "isWhole": False, "isFull": True, "last": "114999"}


def test_a_long_pause(call):
    """Of more waiting text than the limit the newest events are shown, and all are counted."""
    found = call("store", "paused", 100)
    shown = len(found["cursors"])

    assert (found["waiting"], found["held"], found["isWhole"]) == (100, 1, False)
    assert found["cursors"] == [str(number) for number in range(100 - shown, 100)]
    assert 60 <= shown <= 70


class TestDecoder:
    @SOME
    @given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
    def test_a_stream_cut_anywhere(self, call, cuts):
        """A stream gives the messages of the WHATWG specification, wherever its text is split."""
        edges = [0, *sorted(cuts), len(STREAM)]
        pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges)]

        assert call("sse", "decode", pieces) == [MESSAGES, 250]

    def test_a_byte_order_mark_is_left_out(self, call):
        """A byte order mark at the beginning belongs to no field."""
        assert call("sse", "decode", ["\ufeff", "data: a\n\n"])[0] == [
            {"name": "message", "data": "a", "id": None}
        ]


def instant(day, clock):
    """The time of a clock of this machine as the page writes it."""
    local = datetime.fromisoformat(f"{day}T{clock}").astimezone(timezone.utc)
    return local.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TestTypedTimes:
    @pytest.mark.parametrize(
        ("typed", "since", "until"),
        [
            ("2025-10-17 14:00-14:05", ("2025-10-17", "14:00"), ("2025-10-17", "14:05")),
            (" 2025-10-17T14:00:30 – 14:05:01 ", ("2025-10-17", "14:00:30"), ("2025-10-17", "14:05:01")),
            ("2025-10-17 23:50 to 00:10", ("2025-10-17", "23:50"), ("2025-10-18", "00:10")),
            ("2025-10-17 23:50-2025-10-19 00:10", ("2025-10-17", "23:50"), ("2025-10-19", "00:10")),
        ],
    )
    def test_ranges(self, call, typed, since, until):
        """Two times are a range of the zone that is shown, if need be over midnight."""
        changes = call("typed_time", "readTimes", typed)["changes"]

        assert (changes["since"], changes["until"]) == (instant(*since), instant(*until))

    def test_a_time(self, call):
        """A time alone is gone to."""
        changes = call("typed_time", "readTimes", "2025-10-17 14:00")["changes"]

        assert (changes["since"], changes["jump"]) == ("", instant("2025-10-17", "14:00"))

    @pytest.mark.parametrize(
        "typed",
        [
            "14:0",
            "14:00-",
            "25:00",
            "14:00-14:65",
            "2025-10-17 14:05-2025-10-17 14:00",
            "at 14:00",
            "14:00=x",
            "",
        ],
    )
    def test_others(self, call, typed):
        """What is no time, or none yet, leads nowhere."""
        assert call("typed_time", "readTimes", typed) is None

    def test_a_time_without_a_day_was_the_last(self, call):
        """A time without a day is today's, or yesterday's if it is still to come."""
        for hour in range(24):
            found = call("typed_time", "readTimes", f"{hour:02}:30")["changes"]["jump"]
            ago = datetime.now(timezone.utc) - datetime.fromisoformat(found.replace("Z", "+00:00"))
            assert timedelta(0) <= ago < timedelta(hours=25)


class TestTimes:
    @pytest.mark.parametrize(
        ("milliseconds", "words"),
        [
            (0, "0 ms"),
            (0.25, "250 µs"),
            (0.9996, "1 ms"),
            (12.345, "12.3 ms"),
            (999.4, "999 ms"),
            (999.6, "1 s"),
            (1500, "1.5 s"),
            (59_990, "1 min 0 s"),
            (125_000, "2 min 5 s"),
            (7_260_000, "2 h 1 min"),
        ],
    )
    def test_a_span_for_people(self, call, milliseconds, words):
        """A span of time has the unit that fits it."""
        assert call("log_event", "span", milliseconds) == words

    def test_microseconds_are_kept(self, call):
        """Two events of one millisecond keep their order and distance."""
        first, second = (
            call("log_event", "meaning", f'{{"timestamp":"2025-10-17T12:00:00.123{part}Z"}}')["time"]
            for part in ("", "456")
        )

        assert second - first == pytest.approx(0.456, abs=0.001)


def step(end, duration=None, name="step", **fields):
    """An event that was written so many milliseconds after noon, at the end of what it reports."""
    stamp = f"2025-10-17T12:00:{end / 1000:09.6f}Z"
    return {
        "timestamp": stamp,
        "event": name,
        **({} if duration is None else {"duration_ms": duration}),
        **fields,
    }


#: The events of a trace, and for each row the number of its event, that of its beginning, and its depth.
TREES = {
    "by time": (
        [step(0), step(40, 30), step(45, 5), step(90, 20), step(100, 100)],
        [(4, None, 0), (0, None, 1), (1, None, 1), (2, None, 1), (3, None, 1)],
    ),
    "within each other": (
        [step(30, 10), step(40, 30), step(50, 50)],
        [(2, None, 0), (1, None, 1), (0, None, 2)],
    ),
    "equally long": ([step(50, 50), step(50, 50)], [(0, None, 0), (1, None, 1)]),
    "rounded": ([step(49.6, 50), step(50, 50)], [(0, None, 0), (1, None, 0)]),
    "a child that seems to begin earlier": (
        [step(39.5, 40), step(50, 50)],
        [(1, None, 0), (0, None, 1)],
    ),
    "by spans": (
        [
            step(10, 10, span_id="b", parent_id="a"),
            step(15, span_id="b"),
            step(5, 5, span_id="c", parent_id="b"),
            step(100, 1, span_id="a"),
        ],
        [(3, None, 0), (0, None, 1), (2, None, 2), (1, None, 2)],
    ),
    "spans in a circle": (
        [step(10, 10, span_id="a", parent_id="b"), step(30, 10, span_id="b", parent_id="a")],
        [(1, None, 0), (0, None, 1)],
    ),
    "pairs": (
        [
            step(0, name="task_started", task_id="1"),
            step(10, name="task_started", task_id="2"),
            step(15, name="noted"),
            step(20, name="task_completed", task_id="2"),
            step(50, name="task_failed", task_id="1"),
            step(60, name="task_failed", task_id="1"),
        ],
        [(4, 0, 0), (3, 1, 1), (2, None, 2), (5, None, 0)],
    ),
    "without a time": (
        [{"event": "x"}, step(10, 10), {"event": "y", "span_id": "a"}],
        [(1, None, 0), (0, None, 0), (2, None, 0)],
    ),
}


class TestTree:
    @pytest.mark.parametrize(("events", "rows"), TREES.values(), ids=TREES)
    def test_what_is_within_what(self, call, events, rows):
        """Spans say it, else the times; what begins and ends a step is one; no child is above its parent."""
        found = call("trace_tree", "tree", [json.dumps(event) for event in events])

        assert [tuple(row[:3]) for row in found] == rows

    def test_the_critical_path(self, call):
        """Of steps side by side, those that ended last, and before those began, decided the end."""
        events = [step(30, 30), step(60, 40), step(90, 25), step(95, 5), step(100, 100), step(50, 10)]
        found = call("trace_tree", "tree", [json.dumps(event) for event in events])

        assert {number for number, _, _, is_critical in found if is_critical} == {1, 2, 3, 4, 5}

    @pytest.mark.parametrize(
        ("events", "found"),
        [
            ([step(100, 100), step(30, 30), step(90, 40)], [2, 40]),
            ([step(100, 100), step(90, 80), step(40, 30), step(80, 45)], [3, 45]),  # 1 has 5 of its own
            ([step(100, 100), step(90, 80), step(40, 30), step(45, 30)], [1, 45]),  # two take 35 together
            ([step(30, 30), step(90, 10)], [0, 30]),
            ([step(100, 100)], None),
            ([], None),
        ],
    )
    def test_the_slowest_step(self, call, events, found):
        """It has the most time of its own; what runs beside another within it counts once, the whole not."""
        assert call("trace_tree", "slowest", [json.dumps(event) for event in events]) == found

    @SOME
    @given(
        st.lists(
            st.fixed_dictionaries(
                {"event": st.sampled_from(["step", "a_started", "a_done", "a_failed"])},
                optional={
                    "timestamp": st.integers(0, 50).map(lambda n: f"2025-10-17T12:00:{n:02}Z"),
                    "duration_ms": st.integers(0, 20).map(lambda n: n * 500),
                    "span_id": st.sampled_from("abc"),
                    "parent_id": st.sampled_from("abc"),
                },
            ),
            max_size=12,
        )
    )
    def test_each_event_once(self, call, events):
        """Whatever the events say, each is in the tree once, and no row is two deeper than the last."""
        found = call("trace_tree", "tree", [json.dumps(event) for event in events])
        numbers = [number for event, began, _, _ in found for number in (event, began) if number is not None]
        depths = [depth for _, _, depth, _ in found]

        assert sorted(numbers) == list(range(len(events)))
        assert all(depth <= before + 1 for before, depth in zip([-1, *depths], depths, strict=False))
