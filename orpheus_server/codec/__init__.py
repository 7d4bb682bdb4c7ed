"""The SNAC codec: codes to samples."""
