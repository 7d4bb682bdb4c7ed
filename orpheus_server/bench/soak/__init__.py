"""`bench --soak`: a mixed load for minutes or hours, and a check for leaks."""
