"""The HTTP routes: thin handlers."""
