"""Clients that people use, against a real server: each test file runs one program of `python/` or
`node/` in the client's own environment.
"""
