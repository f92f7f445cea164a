"""FastAPI under uvicorn: several worker processes write one log, and each request has a trace id of its own.

Run `python fastapi_app.py [FOLDER]` (on port 8000, or PORT), or `uvicorn --app-dir examples fastapi_app:app
--workers 4`, then `curl -X POST http://127.0.0.1:8000/orders/1`. Order `free` has no price: it fails.
"""

import logging
import os
import pathlib
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from chora_logging import TraceMiddleware, get_trace_id, setup_logging

# Each worker imports this module after uvicorn has set up its own logging.
setup_logging(log_file=os.environ.get("LOG_FILE", "web.log"))
log = logging.getLogger("shop")
app = FastAPI()
app.add_middleware(TraceMiddleware)


def charge(order_id: str) -> None:
    if order_id == "free":
        raise ValueError("no price")
    log.info("Order charged", extra={"event": "order_charged", "order_id": order_id, "pid": os.getpid()})


@app.post("/orders/{order_id}")
async def place_order(order_id: str) -> dict[str, object]:
    log.info("Order received", extra={"event": "order_received", "order_id": order_id, "pid": os.getpid()})
    await run_in_threadpool(charge, order_id)
    return {"order_id": order_id, "trace_id": get_trace_id(), "pid": os.getpid()}


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    os.chdir([*sys.argv, "."][1])
    uvicorn.run("fastapi_app:app", app_dir=str(here), workers=2, port=int(os.environ.get("PORT", "8000")))
