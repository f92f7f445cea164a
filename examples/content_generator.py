"""A content generator that emits a typed event for each piece, also for one that fails.

Run `python content_generator.py [folder]`; the events are in `var/telemetry/events.jsonl` below it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from string import Template

from chora_logging import ContentGeneratedEvent, TelemetryEvent, emit_event, get_emitter, trace_context

logger = logging.getLogger("content_generator")


class TemplateGenerator:
    def __init__(self, config_id: str, text: str) -> None:
        self.config_id = config_id
        self.template = Template(text)

    def generate(self, **values: str) -> str:
        started = time.perf_counter()
        failure: Exception | None = None
        try:
            return self.template.substitute(values)
        except Exception as error:
            failure = error
            raise
        finally:
            report(
                ContentGeneratedEvent(
                    content_config_id=self.config_id,
                    generator_type="template",
                    status="error" if failure else "success",
                    duration_ms=int((time.perf_counter() - started) * 1000),
                    error_message=repr(failure) if failure else None,
                )
            )


def report(event: TelemetryEvent) -> None:
    try:
        emit_event(event)
    except OSError:  # emit_event raises if it cannot write; here content matters more than its event
        logger.exception("event not written")


def main() -> None:
    with trace_context() as trace_id:
        print(TemplateGenerator("readme-intro", "$name logs typed events.").generate(name="Chora"))
        try:
            TemplateGenerator("readme-body", "It was made by $author.").generate(name="Chora")
        except KeyError as error:
            print(f"readme-body failed: no value for {error}")

    for event in get_emitter().read_events(trace_id):
        print(event["event_type"], event["content_config_id"], event["status"], event["error_message"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    main()
