"""A record to the bytes of its line."""
