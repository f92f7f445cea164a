"""Finds, opens and orders the rotated files of one log, and recognises them after renames."""
