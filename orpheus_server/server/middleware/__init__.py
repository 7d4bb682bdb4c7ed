"""ASGI middleware: request ids, access, limits of bodies, headers for browsers."""
