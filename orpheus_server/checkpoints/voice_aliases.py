"""The setting `TTS_VOICE_ALIASES`: further names for the voices of a checkpoint."""

from dataclasses import replace

from orpheus_server.checkpoints.checkpoint import Checkpoint, normal_name
from orpheus_server.errors import StartError


def add_voice_aliases(checkpoint: Checkpoint, setting: str) -> Checkpoint:
    """Returns the checkpoint with the aliases of `name=voice,name=voice`.

    They replace aliases of the checkpoint. Raises `StartError` for an alias that is not of that
    form, has the name of a voice, or names no voice.
    """
    aliases = dict(checkpoint.voice_aliases)
    for entry in filter(None, map(str.strip, setting.split(","))):
        name, _, target = map(str.strip, entry.partition("="))
        if not name or not target:
            raise _error(entry, "must be name=voice")
        if checkpoint.voice_named(name) is not None:
            raise _error(entry, f"{name!r} is a voice of {checkpoint.name}")
        voice = checkpoint.find_voice(target)
        if voice is None:
            known = ", ".join(voice.name for voice in checkpoint.voices if voice.is_listed)
            raise _error(entry, f"{target!r} is not a voice of {checkpoint.name}; it has {known}")
        aliases[normal_name(name)] = voice.name
    return replace(checkpoint, voice_aliases=aliases)


def _error(entry: str, problem: str) -> StartError:
    return StartError(f"TTS_VOICE_ALIASES={entry!r}: {problem}.")
