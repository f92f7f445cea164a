"""The application that servers under test run: `uvicorn tests.faults.server_app:app`.

LOG is the log; LIMITS, in JSON, are its limits.
"""

from __future__ import annotations

import json
import os

from chora_logging.web import Limits, create_app


async def anyone(request):
    """Accept requests that came through a proxy too."""


app = create_app(
    {"orchestrator": os.environ["LOG"]},
    check=anyone,
    limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))),
)
