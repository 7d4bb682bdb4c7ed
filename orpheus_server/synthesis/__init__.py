"""Text to samples: admission, chunks ahead, attempts under guard, retries, playback."""
