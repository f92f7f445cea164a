"""Dramatiq: several worker processes write one log, and each message has the trace id of its sender.

`python dramatiq_app.py [FOLDER]` starts workers at the Redis of REDIS_URL, sends them messages, and prints
the events of one trace. For your own broker copy the class `TraceIds`.
"""

import logging
import os
import pathlib
import subprocess
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import default_middleware

from chora_logging import EventLog, get_trace_id, set_trace_id, setup_logging, trace_context

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379")
folder = pathlib.Path(os.environ.get("DRAMATIQ_APP_FOLDER") or [*sys.argv, "."][1]).resolve()
setup_logging(log_file=folder / "dramatiq.jsonl", console=False)
log = logging.getLogger("shop")


class TraceIds(dramatiq.Middleware):
    """Sends the trace id with each message, and sets it while the message is processed."""

    def before_enqueue(self, broker, message, delay):
        message.options.setdefault("trace_id", get_trace_id())

    def before_process_message(self, broker, message):
        set_trace_id(message.options.get("trace_id"))

    def after_process_message(self, broker, message, *, result=None, exception=None):
        set_trace_id(None)

    after_skip_message = after_process_message


# The first one: so the others log with the id, too.
dramatiq.set_broker(RedisBroker(url=REDIS, middleware=[TraceIds(), *(each() for each in default_middleware)]))


@dramatiq.actor(max_retries=0)
def charge(order_id):
    time.sleep(0.1)
    log.info("Order %d charged", order_id, extra={"order_id": order_id, "pid": os.getpid()})
    if order_id % 10 == 7:
        raise ValueError(f"order {order_id} has no price")


def main():
    worker = [sys.executable, "-m", "dramatiq", "dramatiq_app", "--processes", "2", "--threads", "2"]
    worker += ["--path", str(pathlib.Path(__file__).parent)]
    environment = {**os.environ, "DRAMATIQ_APP_FOLDER": str(folder)}
    running = subprocess.Popen(worker, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        for order_id in range(1, 21):
            with trace_context(f"req-{order_id}"):
                charge.send(order_id)
        dramatiq.get_broker().join(charge.queue_name, timeout=60_000)
    finally:
        running.terminate()
        running.wait()
    for event in EventLog(folder / "dramatiq.jsonl").read(trace_id="req-7"):
        print(event["level"], event["logger"], event["message"])


if __name__ == "__main__":
    main()
