"""Markdown that a language model writes, as speech."""
