"""The teacher speaks the texts: shards of speech with the exact time of each symbol."""
