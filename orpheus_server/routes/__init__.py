"""HTTP handlers: thin, one file for each group of routes."""
