"""The public API: routes, WebSocket sessions, answers, validated requests and wire types."""
