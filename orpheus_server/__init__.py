"""Text to speech with Orpheus behind OpenAI's API."""

__version__ = "0.1.0"
