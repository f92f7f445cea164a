"""Ships logs to an OpenTelemetry Collector, or to whatever else takes OTLP over HTTP (extra `otlp`).

It needs `requests` and the messages of `opentelemetry-proto`, but not OpenTelemetry's exporter for Python.
That one says only whether it has succeeded (which a redirect counts as, and a batch of which records were
rejected), gives up after its own time-out, and logs a header that it cannot read, with its secret.
"""
