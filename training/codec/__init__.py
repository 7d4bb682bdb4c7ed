"""The codec: mels to codes, codes to samples, and the losses that train both."""
