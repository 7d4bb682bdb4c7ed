"""The benchmark's client: one request, timed and checked."""
