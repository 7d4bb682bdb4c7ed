"""The error that stages report to the user."""


class TrainingError(Exception):
    """A failure that is reported as one line, without a traceback."""
