"""Tests of what the repository keeps of a training run."""
