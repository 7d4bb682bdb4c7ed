"""Evaluation of a checkpoint: what it says, how it sounds, and what users of the server hear."""
