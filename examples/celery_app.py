"""Celery: several worker processes write one log, and each task has the trace id of its caller.

`python celery_app.py [FOLDER]` starts a worker, sends it tasks, and prints the events of one trace. The
broker is a folder, so that nothing else is needed; another one makes no difference.
"""

import os
import pathlib
import subprocess
import sys

from celery import Celery
from celery.utils.log import get_task_logger

from chora_logging import EventLog, child_env, setup_logging, trace_context

folder = pathlib.Path(os.environ.get("CELERY_APP_FOLDER") or [*sys.argv, "."][1]).resolve()
messages, results = folder / "messages", folder / "results"
for path in (messages, results):
    path.mkdir(parents=True, exist_ok=True)

app = Celery("celery_app", broker="filesystem://localhost", backend=results.as_uri())
app.conf.broker_transport_options = {
    "data_folder_in": str(messages),
    "data_folder_out": str(messages),
    "control_folder": str(messages / "control"),
    "polling_interval": 0.05,
}
app.conf.result_expires = None

setup_logging(log_file=folder / "celery.jsonl", console=False)

log = get_task_logger(__name__)


@app.task(name="charge")
def charge(order_id):
    log.info("Order %d charged", order_id, extra={"event": "order_charged", "order_id": order_id})
    if order_id % 10 == 7:
        raise ValueError(f"order {order_id} has no price")
    return os.getpid()


def main():
    here = pathlib.Path(__file__).parent
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "celery_app", "worker", "--concurrency", "2"]
    environment = {**child_env(), "CELERY_APP_FOLDER": str(folder)}
    worker = subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.DEVNULL)
    try:
        sent = []
        for order_id in range(1, 21):
            with trace_context(f"req-{order_id}"):
                sent.append(charge.delay(order_id))
        for result in sent:
            result.get(timeout=60, propagate=False)
    finally:
        worker.terminate()
        worker.wait()
    for event in EventLog(folder / "celery.jsonl").read(trace_id="req-7"):
        print(event["level"], event["logger"], event["message"])


if __name__ == "__main__":
    main()
