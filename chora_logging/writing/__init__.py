"""The bytes of a line to whole lines in files that any number of threads and processes share."""
