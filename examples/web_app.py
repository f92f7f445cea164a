"""A web application whose worker processes share one log; each request has a trace id of its own.

Run `python web_app.py [folder]` (on port 8000, or PORT), or in any folder one of

    uvicorn --app-dir examples web_app:app --workers 4
    gunicorn --pythonpath examples web_app:app --workers 4 --worker-class uvicorn_worker.UvicornWorker

then `curl -X POST http://127.0.0.1:8000/orders/1`. LOG_FILE names the log, by default `web.log`.
FastAPI works the same way: `FastAPI(lifespan=lifespan)` and `app.add_middleware(TraceMiddleware)`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chora_logging import TraceMiddleware, get_trace_id, setup_logging

logger = logging.getLogger("shop")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    # In each worker, after the server has set up its logging: so the server's own lines are in the log too.
    setup_logging(log_file=os.environ.get("LOG_FILE", "web.log"))
    yield


def charge(order_id: str) -> None:
    logger.info("Order charged", extra={"event": "order_charged", "order_id": order_id, "pid": os.getpid()})


async def place_order(request: Request) -> JSONResponse:
    order_id = request.path_params["order_id"]
    logger.info("Order received", extra={"event": "order_received", "order_id": order_id, "pid": os.getpid()})
    await asyncio.to_thread(charge, order_id)
    return JSONResponse({"order_id": order_id, "trace_id": get_trace_id(), "pid": os.getpid()})


app = Starlette(
    routes=[Route("/orders/{order_id}", place_order, methods=["POST"])],
    middleware=[Middleware(TraceMiddleware)],
    lifespan=lifespan,
)

if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    uvicorn.run("web_app:app", app_dir=str(here), workers=2, port=int(os.environ.get("PORT", "8000")))
