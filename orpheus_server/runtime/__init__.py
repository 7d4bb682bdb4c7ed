"""Builds, warms up and describes what is served; the only place that names concrete adapters."""
