"""A gateway that handles each request in a process of its own, and finds its events by trace id.

Run `python gateway.py [folder]`. Both requests run concurrently and write the same two files,
`.devlogs/orch-o-glm.log` (followed live) and `var/telemetry/events.jsonl` (read at the end).
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid

from chora_logging import (
    ArtifactAssembledEvent,
    child_env,
    emit_event,
    get_emitter,
    log_orchestrator_event,
    stream_orchestrator_events,
    trace_context,
)


def compose(document: str, sections: int) -> None:
    """Run in the child, which has no code for traces: CHORA_TRACE_ID puts the id on all its events."""
    for section in range(1, sections + 1):
        log_orchestrator_event("section_composed", task_id=document, section=section)
    emit_event(
        ArtifactAssembledEvent(
            artifact_config_id=document, section_count=sections, status="success", duration_ms=5
        )
    )


def new_id() -> str:
    return f"req-{uuid.uuid4().hex[:8]}"


async def show_live(trace_id: str) -> None:
    async for event in stream_orchestrator_events(trace_id=trace_id):
        print(f"live   {trace_id}: {event['event']} {event.get('section', '')}".rstrip())
        if event["event"] == "request_finished":
            return


async def handle(trace_id: str, document: str, sections: int) -> None:
    with trace_context(trace_id):
        command = [sys.executable, __file__, "compose", document, str(sections)]
        child = await asyncio.create_subprocess_exec(*command, env=child_env())
        # The gateway logs the end of the request, so that the follower ends even if the child crashes.
        status = await child.wait()
        log_orchestrator_event("request_finished", task_id=document, exit_status=status)


async def main() -> None:
    requests = {new_id(): ("manual", 2), new_id(): ("changelog", 3)}
    followers = [show_live(trace_id) for trace_id in requests]
    await asyncio.gather(*followers, *(handle(trace_id, *request) for trace_id, request in requests.items()))

    for trace_id in requests:
        for event in get_emitter().read_events(trace_id):
            print(f"stored {trace_id}: {event['event_type']} {event['artifact_config_id']} {event['status']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["compose"]:
        compose(sys.argv[2], int(sys.argv[3]))
    else:
        if len(sys.argv) > 1:
            os.chdir(sys.argv[1])
        asyncio.run(main())
