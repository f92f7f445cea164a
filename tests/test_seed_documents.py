"""The Python examples of the documents of the two existing systems, run unchanged.

The texts below are copies; only the import prefix is changed before they run. The test passes in the
names that an example leaves to its reader (`config`, `process_event`, …).
"""

from __future__ import annotations

import ast
import asyncio
import errno
import inspect
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import types

import pydantic
import pytest

from chora_logging import orchestrator, telemetry
from chora_logging.telemetry import event_emitter

PREFIXES = {
    "chora_compose.telemetry": "chora_logging.telemetry",
    "services.orchestrator.app.core.logging": "chora_logging.orchestrator",
}

QUICK_START = r"""
from chora_compose.telemetry import emit_event, ContentGeneratedEvent

# Emit an event (uses global emitter)
emit_event(ContentGeneratedEvent(
    content_config_id="readme-intro",
    generator_type="jinja2",
    status="success",
    duration_ms=234
))
"""

CUSTOM_EMITTER = r"""
from chora_compose.telemetry import EventEmitter, ContentGeneratedEvent

# Create custom emitter (e.g., for testing)
emitter = EventEmitter(events_file="tmp/test-events.jsonl")

event = ContentGeneratedEvent(
    content_config_id="readme-intro",
    generator_type="jinja2",
    status="success",
    duration_ms=234
)

emitter.emit(event)
"""

CONSTRUCTOR = r"""
# Use default location (var/telemetry/events.jsonl)
emitter = EventEmitter()

# Custom location for testing
emitter = EventEmitter(events_file="tmp/test-events.jsonl")

# Absolute path
emitter = EventEmitter(events_file=Path("/var/log/chora/events.jsonl"))
"""

EMIT = r"""
from chora_compose.telemetry import EventEmitter, ContentGeneratedEvent

emitter = EventEmitter()

# Basic event
event = ContentGeneratedEvent(
    content_config_id="readme-intro",
    generator_type="jinja2",
    status="success",
    duration_ms=234
)
emitter.emit(event)

# Event with explicit trace_id
event = ContentGeneratedEvent(
    content_config_id="readme-body",
    generator_type="template_fill",
    status="success",
    duration_ms=120,
    trace_id="workflow-abc123"  # Explicit trace ID
)
emitter.emit(event)

# Error event
event = ContentGeneratedEvent(
    content_config_id="readme-footer",
    generator_type="jinja2",
    status="error",
    duration_ms=50,
    error_message="Template syntax error: unexpected end of template"
)
emitter.emit(event)
"""

TRACE_CONTEXT = r"""
# Event emitted without explicit trace_id
event = ContentGeneratedEvent(
    content_config_id="readme-intro",
    generator_type="jinja2",
    status="success",
    duration_ms=234
    # trace_id not set - will be populated from CHORA_TRACE_ID
)
emitter.emit(event)

# Resulting JSON includes trace_id from environment
# {"trace_id": "workflow-abc123", "content_config_id": "readme-intro", ...}
"""

READ_EVENTS = r"""
from chora_compose.telemetry import EventEmitter

emitter = EventEmitter()

# Read all events
all_events = emitter.read_events()
print(f"Total events: {len(all_events)}")

# Read events for specific trace
workflow_events = emitter.read_events(trace_id="workflow-abc123")
print(f"Events in workflow: {len(workflow_events)}")

# Analyze events
for event in workflow_events:
    print(f"{event['event_type']}: {event['status']} ({event['duration_ms']}ms)")
"""

STREAMING_PARSER = r"""
import json
from pathlib import Path

# Stream events without loading entire file
def stream_events(events_file: Path, trace_id: str):
    with open(events_file, encoding="utf-8") as f:
        for line in f:
            if not line.strip():
                continue
            event = json.loads(line)
            if event.get("trace_id") == trace_id:
                yield event

# Usage
for event in stream_events(Path("var/telemetry/events.jsonl"), "workflow-abc123"):
    process_event(event)
"""

CLEAR = r"""
from chora_compose.telemetry import EventEmitter

emitter = EventEmitter(events_file="tmp/test-events.jsonl")

# Emit some test events
emitter.emit(event1)
emitter.emit(event2)

# Read and verify
events = emitter.read_events()
assert len(events) == 2

# Clean up after test
emitter.clear()

# Verify cleanup
events = emitter.read_events()
assert len(events) == 0
"""

GET_EMITTER = r"""
from chora_compose.telemetry.event_emitter import get_emitter

# Get global emitter
emitter = get_emitter()

# All calls return the same instance
assert get_emitter() is get_emitter()
"""

EMIT_EVENT = r"""
from chora_compose.telemetry import emit_event, ContentGeneratedEvent

# Simple - no emitter management needed
emit_event(ContentGeneratedEvent(
    content_config_id="readme-intro",
    generator_type="jinja2",
    status="success",
    duration_ms=234
))
"""

GENERATOR = r"""
from chora_compose.telemetry import emit_event, ContentGeneratedEvent
from chora_compose.generators.base import GeneratorStrategy
import time

class MyGenerator(GeneratorStrategy):
    def generate(self, config, context=None):
        start_time = time.time()
        status = "success"
        error_message = None

        try:
            # Generate content
            result = self._generate_content(config, context)
            return result
        except Exception as e:
            status = "error"
            error_message = str(e)
            raise
        finally:
            # Always emit event (success or error)
            duration_ms = int((time.time() - start_time) * 1000)
            emit_event(ContentGeneratedEvent(
                content_config_id=config.id,
                generator_type="my_generator",
                status=status,
                duration_ms=duration_ms,
                error_message=error_message
            ))
"""

THREADS = r"""
import threading
from chora_compose.telemetry import emit_event, ContentGeneratedEvent

def worker(worker_id):
    for i in range(100):
        emit_event(ContentGeneratedEvent(
            content_config_id=f"worker-{worker_id}-item-{i}",
            generator_type="test_generator",
            status="success",
            duration_ms=50
        ))

# Spawn 10 workers emitting 100 events each
threads = [threading.Thread(target=worker, args=(i,)) for i in range(10)]
for t in threads:
    t.start()
for t in threads:
    t.join()

# All 1000 events written correctly (no corruption)
"""

PATTERN_CUSTOM_EMITTER = r"""
import pytest
from chora_compose.telemetry import EventEmitter, ContentGeneratedEvent

def test_event_emission(tmp_path):
    # Use tmp_path for test isolation
    events_file = tmp_path / "test-events.jsonl"
    emitter = EventEmitter(events_file=str(events_file))

    # Emit test event
    emitter.emit(ContentGeneratedEvent(
        content_config_id="test-config",
        generator_type="test_generator",
        status="success",
        duration_ms=100
    ))

    # Verify
    events = emitter.read_events()
    assert len(events) == 1
    assert events[0]["status"] == "success"
"""

PATTERN_CLEAR_GLOBAL = r'''
import pytest
from chora_compose.telemetry import emit_event, ContentGeneratedEvent
from chora_compose.telemetry.event_emitter import get_emitter

@pytest.fixture(autouse=True)
def clear_events():
    """Clear global emitter before each test."""
    get_emitter().clear()
    yield
    get_emitter().clear()

def test_with_global_emitter():
    # Emit event
    emit_event(ContentGeneratedEvent(
        content_config_id="test-config",
        generator_type="test_generator",
        status="success",
        duration_ms=100
    ))

    # Verify
    events = get_emitter().read_events()
    assert len(events) == 1
'''

PATTERN_TRACE_ID = r"""
import os
from chora_compose.telemetry import emit_event, ContentGeneratedEvent
from chora_compose.telemetry.event_emitter import get_emitter

def test_trace_context(monkeypatch):
    get_emitter().clear()

    # Set trace ID via environment
    monkeypatch.setenv("CHORA_TRACE_ID", "test-trace-123")

    # Emit events
    emit_event(ContentGeneratedEvent(
        content_config_id="config-1",
        generator_type="jinja2",
        status="success",
        duration_ms=100
    ))

    # Verify trace context propagation
    events = get_emitter().read_events()
    assert events[0]["trace_id"] == "test-trace-123"
"""

PERMISSION_DENIED = r"""
# Directory not writable
emitter = EventEmitter(events_file="/root/events.jsonl")
# Raises PermissionError during emit()
"""

DISK_FULL = r"""
# Disk space exhausted
emitter.emit(event)
# Raises OSError: [Errno 28] No space left on device
"""

INVALID_EVENT = r"""
# Pydantic validation error
event = ContentGeneratedEvent(
    content_config_id="test",
    generator_type=123,  # Invalid type (should be str)
    status="success",
    duration_ms=100
)
# Raises ValidationError before emit()
"""

SAFE_EMIT = r'''
import logging
from chora_compose.telemetry import emit_event, ContentGeneratedEvent

logger = logging.getLogger(__name__)

def safe_emit(event):
    """Emit event with error handling."""
    try:
        emit_event(event)
    except Exception as e:
        # Log but don't crash generator
        logger.error(f"Failed to emit event: {e}")
'''

SIGNATURES = [
    r'''
class EventEmitter:
    """Thread-safe event emitter that writes to JSON Lines files."""

    def __init__(
        self,
        events_file: str | Path = "var/telemetry/events.jsonl"
    ) -> None:
        """Initialize the event emitter."""

    def emit(self, event: TelemetryEvent) -> None:
        """Emit an event to the events file (thread-safe)."""

    def read_events(
        self,
        trace_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Read events from file (for testing/debugging)."""

    def clear(self) -> None:
        """Clear all events (for testing only)."""
''',
    r"""
def __init__(
    self,
    events_file: str | Path = "var/telemetry/events.jsonl"
) -> None
""",
    r"""
def emit(self, event: TelemetryEvent) -> None
""",
    r"""
def read_events(
    self,
    trace_id: str | None = None
) -> list[dict[str, Any]]
""",
    r"""
def clear(self) -> None
""",
    r"""
def get_emitter() -> EventEmitter
""",
    r"""
def emit_event(event: TelemetryEvent) -> None
""",
]

LOG_EVENTS = r"""
from services.orchestrator.app.core.logging import log_orchestrator_event

# Log a simple event
log_orchestrator_event(
    event="task_started",
    task_id="task-123",
    status="running"
)

# Log an event with additional fields
log_orchestrator_event(
    event="job_completed",
    task_id="job-456",
    run_id="run-789",
    duration_ms=1500,
    result="success",
    message="Job completed successfully"
)
"""

FILTERING = r"""
# Stream events for a specific task
async for event in stream_orchestrator_events(task_id="task-123"):
    print(event)

# Get all events for a specific run
events = await get_orchestrator_events(run_id="run-456")
"""

JOB = r"""
from services.orchestrator.app.core.logging import log_orchestrator_event

def process_job(job_id):
    # Log job start
    log_orchestrator_event(
        event="job_started",
        task_id=job_id,
        status="running"
    )

    try:
        # Process the job
        result = do_work(job_id)

        # Log job completion
        log_orchestrator_event(
            event="job_completed",
            task_id=job_id,
            status="success",
            result=result,
            duration_ms=calculate_duration()
        )

        return result
    except Exception as e:
        # Log job failure
        log_orchestrator_event(
            event="job_failed",
            task_id=job_id,
            status="failed",
            error=str(e)
        )

        raise
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each example has a working directory and a shared emitter of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(event_emitter, "_shared", {})


def changed(text):
    """The example with the import prefix changed."""
    for old, new in PREFIXES.items():
        text = text.replace(old, new)
    return text


def run(text, **given):
    """Run an example and return its names."""
    names = {"Path": pathlib.Path, **vars(telemetry), **given}
    exec(compile(changed(text), "example", "exec"), names)
    return names


def telemetry_lines(path="var/telemetry/events.jsonl"):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def orchestrator_lines():
    return telemetry_lines(".devlogs/orch-o-glm.log")


def content(**fields):
    return telemetry.ContentGeneratedEvent(
        **{
            "content_config_id": "test",
            "generator_type": "jinja2",
            "status": "success",
            "duration_ms": 1,
            **fields,
        }
    )


class TestTelemetry:
    def test_quick_start(self):
        """The first example writes its event to the default file."""
        run(QUICK_START)
        run(EMIT_EVENT)

        assert [line["content_config_id"] for line in telemetry_lines()] == ["readme-intro"] * 2

    def test_custom_emitter(self):
        """An emitter with a relative path writes there."""
        run(CUSTOM_EMITTER)

        assert len(telemetry_lines("tmp/test-events.jsonl")) == 1

    def test_constructor(self, tmp_path):
        """The three ways to construct an emitter create the folder but no file."""
        text = CONSTRUCTOR.replace("/var/log/chora", str(tmp_path / "log"))
        emitter = run(text)["emitter"]

        assert emitter.events_file == tmp_path / "log" / "events.jsonl"
        for folder in ("var/telemetry", "tmp", "log"):
            assert list((tmp_path / folder).iterdir()) == []

    def test_emit(self):
        """Basic, traced and failed events are written as given."""
        run(EMIT)

        lines = telemetry_lines()
        assert [line["trace_id"] for line in lines] == [None, "workflow-abc123", None]
        assert lines[2]["status"] == "error"
        assert lines[2]["error_message"] == "Template syntax error: unexpected end of template"

    def test_trace_context(self, monkeypatch):
        """An event without a trace id gets that of CHORA_TRACE_ID."""
        monkeypatch.setenv("CHORA_TRACE_ID", "workflow-abc123")
        run(TRACE_CONTEXT, emitter=telemetry.EventEmitter())

        assert telemetry_lines()[0]["trace_id"] == "workflow-abc123"

    def test_read_events(self, capsys):
        """Reading all events and those of one workflow."""
        run(EMIT)
        run(READ_EVENTS)

        assert capsys.readouterr().out.splitlines() == [
            "Total events: 3",
            "Events in workflow: 1",
            "chora.content_generated: success (120ms)",
        ]

    def test_streaming_parser(self):
        """A reader that parses the file by itself still works."""
        run(EMIT)
        processed = []
        run(STREAMING_PARSER, process_event=processed.append)

        assert [event["content_config_id"] for event in processed] == ["readme-body"]

    def test_clear(self):
        """Emit, read, clear, read."""
        run(CLEAR, event1=content(), event2=content())

    def test_get_emitter(self):
        """The shared emitter is one."""
        run(GET_EMITTER)

    def test_generator(self, monkeypatch):
        """A generator that emits in `finally` reports success and failure."""
        base = types.ModuleType("chora_compose.generators.base")
        base.GeneratorStrategy = object
        for name in ("chora_compose", "chora_compose.generators"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, base.__name__, base)
        generator = run(GENERATOR)["MyGenerator"]()
        config = types.SimpleNamespace(id="readme")

        generator._generate_content = lambda config, context: "content"
        assert generator.generate(config) == "content"
        generator._generate_content = lambda config, context: 1 / 0
        with pytest.raises(ZeroDivisionError):
            generator.generate(config)

        assert [line["status"] for line in telemetry_lines()] == ["success", "error"]
        assert telemetry_lines()[1]["error_message"] == "division by zero"

    def test_threads(self):
        """All thousand events of ten threads are in the file."""
        run(THREADS)

        found = {line["content_config_id"] for line in telemetry_lines()}
        assert found == {f"worker-{worker}-item-{i}" for worker in range(10) for i in range(100)}
        assert threading.active_count() < 10

    @pytest.mark.parametrize(
        "text",
        [PATTERN_CUSTOM_EMITTER, PATTERN_CLEAR_GLOBAL, PATTERN_TRACE_ID],
        ids=["custom emitter", "clear global", "trace id"],
    )
    def test_test_patterns(self, tmp_path, text):
        """The three patterns for users' own tests pass, with warnings as errors."""
        (tmp_path / "test_pattern.py").write_text(changed(text))
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "-c", os.devnull, "--rootdir", ".", "test_pattern.py"],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout

    def test_permission_denied(self, tmp_path):
        """Constructing an emitter for a read-only folder works; emit raises."""
        text = PERMISSION_DENIED.replace("/root/", "/proc/1/")
        emitter = run(text)["emitter"]

        with pytest.raises(OSError) as caught:
            emitter.emit(content())

        assert caught.value.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS)

    def test_disk_full(self):
        """emit raises OSError 28 on a full disk."""
        with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device"):
            run(DISK_FULL, emitter=telemetry.EventEmitter("/dev/full"), event=content())

    def test_invalid_event(self):
        """An invalid event is a ValidationError, before emit."""
        with pytest.raises(pydantic.ValidationError, match="generator_type"):
            run(INVALID_EVENT)

    def test_safe_emit(self, monkeypatch, caplog):
        """The best practice catches and logs the error of emit."""
        monkeypatch.setenv("CHORA_EVENTS_FILE", "/dev/full")
        run(SAFE_EMIT, __name__="example")["safe_emit"](content())

        assert "Failed to emit event: [Errno 28] No space left on device" in caplog.text

    @pytest.mark.parametrize("text", SIGNATURES, ids=lambda text: text.split("(")[0].strip()[:20])
    def test_signatures(self, text):
        """The functions have the signatures that the document declares."""
        declared = text.strip() if "class" in text else text.strip() + ": ..."
        tree = ast.parse(declared)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                emitter = telemetry.EventEmitter
                home = emitter if hasattr(emitter, node.name) else event_emitter
                ours = inspect.signature(getattr(home, node.name)).parameters
                names = [argument.arg for argument in node.args.args]
                assert list(ours)[: len(names)] == names
                rest = list(ours.values())[len(names) :]
                assert all(one.kind is one.KEYWORD_ONLY for one in rest)
                for name, default in zip(reversed(names), reversed(node.args.defaults), strict=False):
                    assert ours[name].default == ast.literal_eval(default)


class TestOrchestrator:
    def test_log_events(self):
        """The two events of the document are logged with their fields."""
        run(LOG_EVENTS)

        started, completed = orchestrator_lines()
        assert (started["event"], started["task_id"]) == ("task_started", "task-123")
        assert started["status"] == "running"
        assert started["message"] == "Event: task_started"
        assert (completed["run_id"], completed["duration_ms"]) == ("run-789", 1500)
        assert completed["message"] == "Job completed successfully"

    def test_filtering(self, capsys):
        """Streaming a task and reading a run, in one coroutine as in the document."""
        run(LOG_EVENTS)
        orchestrator.log_orchestrator_event("x", task_id="task-123", run_id="run-456")
        body = textwrap.indent(FILTERING, "    ")
        text = f"async def example():\n{body}\n    return events\n"
        text = text.replace("print(event)", "print(event['event'])\n        if event['event'] == 'x': break")

        events = asyncio.run(run(text, **vars(orchestrator))["example"]())

        assert capsys.readouterr().out.split() == ["task_started", "x"]
        assert [event["event"] for event in events] == ["x"]

    def test_job(self):
        """The job example logs start and completion, or start and failure."""
        process = run(JOB, do_work=lambda job: f"did {job}", calculate_duration=lambda: 12)
        process["process_job"]("job-1")
        process["do_work"] = lambda job: {}[job]
        with pytest.raises(KeyError):
            process["process_job"]("job-2")

        assert [(line["event"], line["status"]) for line in orchestrator_lines()] == [
            ("job_started", "running"),
            ("job_completed", "success"),
            ("job_started", "running"),
            ("job_failed", "failed"),
        ]
        assert orchestrator_lines()[3]["error"] == "'job-2'"
