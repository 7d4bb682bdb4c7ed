"""`bench --overload`: twice as many users as the server can serve."""
