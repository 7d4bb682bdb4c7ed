"""The SNAC codec: exact windows, decoded in batches across requests."""
