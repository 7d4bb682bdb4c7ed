"""Answers while they are made."""
