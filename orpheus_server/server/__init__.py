"""HTTP and WebSocket as such; knows nothing of speech."""
