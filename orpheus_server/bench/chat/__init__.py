"""`bench --chat`: times the spoken replies of the language model."""
