"""Formats a record as the bytes of its line."""
