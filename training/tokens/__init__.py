"""Tokens: the speech of each shard as frames of seven codes."""
