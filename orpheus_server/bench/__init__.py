"""`orpheus-server bench`."""
