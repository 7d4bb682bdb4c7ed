"""Builds, warms up and describes the models; the only package that names concrete adapters."""
