"""The SNAC codec: exact windows, decoded for all requests together."""
