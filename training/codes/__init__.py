"""Codes before waveforms: trains encoder and quantizer on mels, then freezes them."""
