"""Programs with clients for Python, run by the Python of `.venv-clients`."""
