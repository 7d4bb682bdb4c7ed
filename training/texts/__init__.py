"""Texts that the teacher speaks: what they are made from, what is held out, and their shards."""
