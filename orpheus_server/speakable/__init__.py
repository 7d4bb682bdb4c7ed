"""What a chat model writes, as text that can be spoken, while it is being written."""
