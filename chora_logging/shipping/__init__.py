"""Ships logs to a destination, whatever it is: the loop, and what the shippers of all destinations share."""
