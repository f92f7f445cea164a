"""Django under uvicorn: several worker processes write one log, and each request has a trace id of its own.

Run `python django_app.py [FOLDER]` (on port 8000, or PORT), or `uvicorn --app-dir examples django_app:app
--workers 4`, then `curl -X POST http://127.0.0.1:8000/orders/1`. Order `free` has no price: it fails.
In a project, what is around `app` stands in `asgi.py`.
"""

import logging
import os
import pathlib
import sys

import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.urls import path

from chora_logging import TraceMiddleware, get_trace_id, setup_logging

log = logging.getLogger("shop")


def place_order(request, order_id):
    log.info("Order received", extra={"event": "order_received", "order_id": order_id, "pid": os.getpid()})
    if order_id == "free":
        raise ValueError("no price")
    log.info("Order charged", extra={"event": "order_charged", "order_id": order_id, "pid": os.getpid()})
    return JsonResponse({"order_id": order_id, "trace_id": get_trace_id(), "pid": os.getpid()})


urlpatterns = [path("orders/<str:order_id>", place_order)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])

app = TraceMiddleware(get_asgi_application())
setup_logging(log_file=os.environ.get("LOG_FILE", "web.log"))  # after Django has set up its own logging

if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    os.chdir([*sys.argv, "."][1])
    uvicorn.run("django_app:app", app_dir=str(here), workers=2, port=int(os.environ.get("PORT", "8000")))
