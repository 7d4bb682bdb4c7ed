"""Benchmarks that need no server: the codec and the front end."""
