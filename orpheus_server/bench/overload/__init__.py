"""`bench --overload`: twice the callers that a server carries."""
