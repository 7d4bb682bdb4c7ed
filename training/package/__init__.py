"""The checkpoint folder that vLLM, transformers and snac load."""
