"""Checkpoints: their descriptions, as data, and their files."""
