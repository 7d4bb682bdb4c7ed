"""What a checkpoint is, as data, and where its files are."""
