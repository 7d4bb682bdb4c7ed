"""One WebSocket session: text or messages in, sound out, and who speaks into an answer stops it."""
