"""What the repository keeps of a training run: codec, tokens and the best weights."""
