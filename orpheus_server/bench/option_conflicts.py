"""Options that make no sense together, beyond what `argparse` can rule out."""

from argparse import Namespace

_MODES = ("codec", "frontend", "burst", "soak", "overload", "chat")


def conflict_of(parsed: Namespace) -> str | None:
    """Returns why the options cannot be combined, or None."""
    mode = next((f"--{name}" for name in _MODES if getattr(parsed, name)), None)
    if parsed.rate is not None:
        if mode is not None:
            return f"--rate cannot be combined with {mode}"
        if parsed.stagger_sec:
            return "--rate cannot be combined with --stagger-sec: requests arrive at random times"
    return None
