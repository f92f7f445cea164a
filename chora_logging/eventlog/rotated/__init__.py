"""The rotated files of one log: found, opened as one whole, and known again whatever is renamed."""
