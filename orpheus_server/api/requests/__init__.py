"""What was asked for: checked and resolved before the first byte."""
