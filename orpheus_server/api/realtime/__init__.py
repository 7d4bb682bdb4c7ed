"""One WebSocket session: the client sends text or chat messages, the server sends audio."""
