"""Copies logs into a NATS JetStream stream, and reads them from it (extra `nats`)."""
