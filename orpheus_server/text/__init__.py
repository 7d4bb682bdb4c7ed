"""Turns text into chunks and phonemes: cleaning, Markdown, splitting, front ends."""
