"""uvicorn's protocols with limits in time and size, and errors in OpenAI's shape."""
