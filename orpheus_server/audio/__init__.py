"""Samples: the SNAC codec, trimming, fading, pace and encoders."""
