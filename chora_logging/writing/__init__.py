"""Writes lines of bytes, each whole, to rotated files that any number of threads and processes share."""
