"""Language models and their replies."""
