"""Language models: here, at an OpenAI-compatible address, or one that says what it was told."""
