"""ASGI middleware: request ids, access control, body limits, CORS and security headers."""
