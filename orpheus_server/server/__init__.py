"""HTTP and WebSocket serving, without any knowledge of speech."""
