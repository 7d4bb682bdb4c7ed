"""Text to samples: admission, look-ahead over chunks, guarded attempts, retries, playback."""
