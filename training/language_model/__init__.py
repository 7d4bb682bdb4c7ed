"""The language model: phonemes in, SNAC tokens out."""
