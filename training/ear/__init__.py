"""The ear: Whisper's transcripts of recordings and their word error rate."""
