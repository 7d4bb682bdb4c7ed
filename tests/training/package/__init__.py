"""Tests of the checkpoint folder."""
