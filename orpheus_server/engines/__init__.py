"""Token engines: one file, one foreign library."""
