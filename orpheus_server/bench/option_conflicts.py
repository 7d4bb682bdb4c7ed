"""Options that make no sense together, beyond what `argparse` can rule out."""

from argparse import Namespace

_MODES = ("codec", "frontend", "burst", "soak", "overload", "chat")
_MODES_WITHOUT_PEER = ("codec", "frontend", "soak", "overload", "chat")
_OF_PEER = ("peer_api_key", "peer_model", "peer_voice")


def conflict_of(parsed: Namespace) -> str | None:
    """Returns why the options cannot be combined, or None."""
    if parsed.rate is not None:
        mode = _mode_of(parsed, _MODES)
        if mode is not None:
            return f"--rate cannot be combined with {mode}"
        if parsed.stagger_sec:
            return "--rate cannot be combined with --stagger-sec: requests arrive at random times"
    if parsed.peer is not None:
        mode = _mode_of(parsed, _MODES_WITHOUT_PEER)
        if mode is not None:
            return f"--peer cannot be combined with {mode}"
    else:
        for name in _OF_PEER:
            if getattr(parsed, name) is not None:
                return f"--{name.replace('_', '-')} needs --peer"
    return None


def _mode_of(parsed: Namespace, modes: tuple[str, ...]) -> str | None:
    """The selected one of these modes, as an option."""
    return next((f"--{name}" for name in modes if getattr(parsed, name)), None)
