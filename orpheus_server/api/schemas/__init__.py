"""Wire types of requests, answers and events."""
