"""What callers see: routes, WebSocket sessions, answers, checked requests and wire types."""
