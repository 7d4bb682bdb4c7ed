"""Answers in progress: speech, chat and chat completions."""
