"""`bench --chat`: spoken answers of the language model, timed."""
