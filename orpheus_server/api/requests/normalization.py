"""The field `normalize`: whether numbers, signs and units reach the voice as words."""

from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.runtime.speech_services import SpeechServices

_FIELD = "normalize"


def is_spelled_out(requested: bool | None, voice: Voice, services: SpeechServices) -> bool:
    """Returns whether the text is rewritten for a voice that reads English letters.

    A voice that reads phonemes needs no such step: its front end always reads numbers as words.
    """
    if not _reads_english_letters(services.checkpoint, voice):
        return False
    return services.settings.tts_normalize if requested is None else requested


def ignored_normalize(requested: bool | None, voice: Voice, services: SpeechServices) -> list[str]:
    """Returns the name of the field if it has no effect with this voice."""
    if requested is None or _reads_english_letters(services.checkpoint, voice):
        return []
    is_always_on = services.checkpoint.text_frontend != "none"
    return [] if requested is is_always_on else [_FIELD]


def _reads_english_letters(checkpoint: Checkpoint, voice: Voice) -> bool:
    return checkpoint.text_frontend == "none" and voice.language.partition("-")[0] == "en"
