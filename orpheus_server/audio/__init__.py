"""Samples: trimming, fading, pace and encoders."""
