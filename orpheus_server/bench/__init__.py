"""Benchmarks: `orpheus-server bench`."""
