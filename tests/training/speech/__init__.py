"""Tests of the speech stage."""
