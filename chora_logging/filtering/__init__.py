"""Filters for handlers: they replace secrets, limit rates, and sample by trace."""
