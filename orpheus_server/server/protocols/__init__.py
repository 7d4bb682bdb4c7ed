"""uvicorn's protocols with time and size limits, and errors in OpenAI's shape."""
