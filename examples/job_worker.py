"""Several worker processes take jobs from a queue, as in Celery, and share one event log.

Run `python job_worker.py [folder]`; the events are in `.devlogs/orch-o-glm.log` below it. The workers
need no setup: the first event of each process opens the log.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import multiprocessing
import os
import sys
import time
import uuid

from chora_logging import get_orchestrator_events, log_orchestrator_event, trace_context

WORKERS = 3
JOBS = [f"job-{number}" for number in range(1, 13)]


def do_work(job_id: str) -> str:
    time.sleep(0.01)
    if job_id == "job-7":
        raise ValueError("the customer does not exist")
    return f"invoice for {job_id}"


def process_job(job_id: str, run_id: str) -> str:
    started = time.perf_counter()
    log_orchestrator_event("job_started", job_id, run_id, status="running")
    try:
        result = do_work(job_id)
    except Exception as error:
        log_orchestrator_event("job_failed", job_id, run_id, level="ERROR", status="failed", error=str(error))
        raise
    duration = int((time.perf_counter() - started) * 1000)
    log_orchestrator_event(
        "job_completed", job_id, run_id, status="success", result=result, duration_ms=duration
    )
    return result


def work(jobs: multiprocessing.SimpleQueue[str | None], run_id: str) -> None:
    log_orchestrator_event("worker_started", run_id=run_id, pid=os.getpid())
    while (job_id := jobs.get()) is not None:
        # A failed job has logged its event: the worker continues with the next one.
        with trace_context(f"{run_id}-{job_id}"), contextlib.suppress(ValueError):
            process_job(job_id, run_id)


def main() -> None:
    run_id = f"run-{uuid.uuid4().hex[:8]}"
    context = multiprocessing.get_context("spawn")
    jobs: multiprocessing.SimpleQueue[str | None] = context.SimpleQueue()
    workers = [context.Process(target=work, args=(jobs, run_id)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for job_id in [*JOBS, *[None] * WORKERS]:
        jobs.put(job_id)
    for worker in workers:
        worker.join()

    events = asyncio.run(get_orchestrator_events(run_id=run_id))
    print(f"{WORKERS} workers:", dict(collections.Counter(event["event"] for event in events)))
    for event in asyncio.run(get_orchestrator_events("job-7", run_id)):
        print(event["timestamp"], event["event"], event["trace_id"], event.get("error", ""))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    main()
