"""The example of a FastAPI application that shows its own events, run as its reader runs it."""

from __future__ import annotations

import json

import httpx

from tests.faults.serving import ROOT, Client, Server

PROGRAM = str(ROOT / "examples" / "live_events.py")
STREAM = "/logs/api/v1/orchestrator/events/stream"


def test_one_trace_id_from_the_header_to_another_process(tmp_path, monkeypatch):
    """A request's id is on its answer, on its events and those of the process it starts, and shown live."""
    monkeypatch.setenv("PORT", "0")
    with Server([PROGRAM, str(tmp_path)], "", tmp_path) as server:
        address = f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"{address}{STREAM}").status_code == 401
        client = Client(server.port, f"{STREAM}?task_id=7", "X-User: ada")

        answer = httpx.post(f"{address}/orders/7", headers={"X-Request-Id": "order-7"}, timeout=30)
        httpx.post(f"{address}/orders/8", timeout=30)

        client.read_until(b"order_sent").close()
        trace = httpx.get(
            f"{address}/logs/api/v1/orchestrator/traces/order-7", headers={"X-User": "ada"}
        ).json()
        assert server.stop() < 10

    assert answer.headers["x-trace-id"] == "order-7"
    steps = ["order_received", "order_packed", "order_sent"]
    assert [(entry["event"]["event"], entry["event"]["task_id"]) for entry in trace["events"]] == [
        (step, "7") for step in steps
    ]
    streamed = [json.loads(line[6:]) for line in bytes(client.got).split(b"\n") if line.startswith(b"data: ")]
    assert [(event["event"], event["trace_id"]) for event in streamed] == [
        (step, "order-7") for step in steps
    ]
