"""Tests of the files in `deploy/`, with the real programs."""
