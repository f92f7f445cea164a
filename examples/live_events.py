"""A FastAPI application that shows its own events live, under its own dependency.

Run `python live_events.py [folder]` (on port 8000, or PORT), then

    curl -X POST -H 'X-User: ada' -H 'X-Request-Id: order-7' http://127.0.0.1:8000/orders/7
    curl -N -H 'X-User: ada' http://127.0.0.1:8000/logs/api/v1/orchestrator/events/stream
    curl -H 'X-User: ada' http://127.0.0.1:8000/logs/api/v1/orchestrator/traces/order-7

Each request has a trace id: that of its `X-Request-Id`, `X-Trace-Id` or `traceparent`, or else a new
one. It is in the header `X-Trace-Id` of the response, on every event of the request, and on those of the
process that the request starts.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException

from chora_logging import (
    TraceMiddleware,
    child_env,
    include,
    log_orchestrator_event,
    setup_orchestrator_logging,
)

PACKER = """
from chora_logging import log_orchestrator_event
log_orchestrator_event("order_packed", task_id="{order_id}", message="Packed by another process")
"""


def user(x_user: Annotated[str | None, Header()] = None) -> str:
    """Stands in for the authentication of the application."""
    if x_user is None:
        raise HTTPException(401, "who are you?")
    return x_user


app = FastAPI()
app.add_middleware(TraceMiddleware)
include(app, prefix="/logs", dependencies=[Depends(user)])


@app.post("/orders/{order_id}")
async def place_order(order_id: int) -> dict[str, int]:
    log_orchestrator_event("order_received", task_id=str(order_id))
    packing = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PACKER.format(order_id=order_id), env=child_env()
    )
    await packing.wait()
    await asyncio.to_thread(log_orchestrator_event, "order_sent", task_id=str(order_id))
    return {"order_id": order_id}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    setup_orchestrator_logging()
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
