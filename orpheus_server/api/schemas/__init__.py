"""Wire types of requests, responses and events."""
