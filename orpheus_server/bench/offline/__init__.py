"""Benchmarks without a server: of the codec and of the front end."""
