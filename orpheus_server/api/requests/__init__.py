"""Requests, validated and resolved before the first byte of the response."""
