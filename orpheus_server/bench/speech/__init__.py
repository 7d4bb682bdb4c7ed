"""The benchmark of speech: first audio, real-time factor and underruns over concurrency."""
