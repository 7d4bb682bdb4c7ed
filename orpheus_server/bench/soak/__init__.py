"""`bench --soak`: a mixed load for minutes or hours, and what it leaves behind."""
