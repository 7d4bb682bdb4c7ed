"""Audio samples: the SNAC codec, trimming, fading, tempo and encoders."""
