"""Text to chunks and phonemes."""
