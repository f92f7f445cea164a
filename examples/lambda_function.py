"""AWS Lambda, and other places with a read-only file system: JSON to stdout, under the id of the invocation.

`python lambda_function.py [ORDER_ID]` calls the handler as Lambda does.
"""

import logging
import sys
import types
import uuid

from chora_logging import setup_logging, trace_context

logging.getLogger().handlers.clear()  # Lambda's own handler, which would write each record again
setup_logging(console="stdout")
log = logging.getLogger("shop")


def handler(event, context):
    with trace_context(context.aws_request_id):
        try:
            if event["order_id"] == 7:
                raise ValueError("no price")
            log.info("Order %s charged", event["order_id"], extra={"order_id": event["order_id"]})
        except Exception:
            log.exception("Order %s failed", event["order_id"])
            raise


if __name__ == "__main__":
    handler({"order_id": int([*sys.argv, "1"][1])}, types.SimpleNamespace(aws_request_id=str(uuid.uuid4())))
