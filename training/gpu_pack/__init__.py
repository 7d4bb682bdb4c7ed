"""A folder with which a rented GPU goes on with training, and the way back."""
