"""The codec's decoder, trained on waveforms behind the frozen encoder."""
