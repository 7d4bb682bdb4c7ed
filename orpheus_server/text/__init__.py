"""Text to chunks and phonemes: cleaning, Markdown, splitting, the front end."""
