"""One WebSocket session: text or messages in, sound out."""
