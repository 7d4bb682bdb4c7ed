"""Turns the Markdown of language models into text to speak."""
