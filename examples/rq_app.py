"""RQ: several workers write one log, and each job has the trace id of its caller.

`python rq_app.py [FOLDER]` starts two workers at the Redis of REDIS_URL, sends them jobs, and prints the
events of one trace. For your own workers copy the two classes and run `rq worker --worker-class
rq_app.TracedWorker`.
"""

import logging
import os
import pathlib
import subprocess
import sys
import time

from redis import Redis
from rq import Queue, Worker

from chora_logging import EventLog, get_trace_id, setup_logging, trace_context

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379")
folder = pathlib.Path(os.environ.get("RQ_APP_FOLDER") or [*sys.argv, "."][1]).resolve()
setup_logging(log_file=folder / "rq.jsonl", console=False)
log = logging.getLogger("shop")


class TracedQueue(Queue):
    """Sends the caller's trace id with each job."""

    def create_job(self, *args, meta=None, **options):
        return super().create_job(*args, meta={"trace_id": get_trace_id(), **(meta or {})}, **options)


class TracedWorker(Worker):
    """Performs each job under the trace id that was sent with it, or under a new one."""

    def perform_job(self, job, *args, **options):
        with trace_context(job.meta.get("trace_id")):
            return super().perform_job(job, *args, **options)


def charge(order_id):
    time.sleep(0.1)
    log.info("Order %d charged", order_id, extra={"order_id": order_id, "pid": os.getpid()})
    if order_id % 10 == 7:
        raise ValueError(f"order {order_id} has no price")


def main():
    queue = TracedQueue(connection=Redis.from_url(REDIS))
    for order_id in range(1, 21):
        with trace_context(f"req-{order_id}"):
            queue.enqueue("rq_app.charge", order_id)
    worker = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", REDIS]
    worker += ["--worker-class", "rq_app.TracedWorker", "--path", str(pathlib.Path(__file__).parent)]
    environment = {**os.environ, "RQ_APP_FOLDER": str(folder)}
    workers = [subprocess.Popen(worker, env=environment, cwd=folder) for _ in range(2)]
    for each in workers:
        each.wait()
    for event in EventLog(folder / "rq.jsonl").read(trace_id="req-7"):
        print(event["level"], event["logger"], event["message"].splitlines()[0])


if __name__ == "__main__":
    main()
