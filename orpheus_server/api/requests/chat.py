"""Validates requests for `POST /v1/chat`."""

from orpheus_server.api.requests.model_names import check_chat_model
from orpheus_server.api.requests.normalization import is_spelled_out
from orpheus_server.api.requests.speech import check_format, resolve_voice, too_long
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.errors import RequestError
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechParams


def check_request(body: ChatRequest, services: SpeechServices) -> SpeechParams:
    """Returns how the answer is to be spoken. Raises whatever is wrong before any generation."""
    if services.chat_info() is None:
        # Raises. Before the model name is checked, because without a model no name is valid.
        services.chat_model()
    if body.model is not None:
        check_chat_model(body.model, services)
    voice = resolve_voice(body.voice, services.checkpoint)
    check_format(body.response_format)
    if not body.message.strip():
        raise RequestError("'message' is empty.", param="message", code="invalid_value")
    limit = services.settings.tts_max_input_chars
    if limit and len(body.message) > limit:
        raise too_long(len(body.message), limit, param="message")
    return SpeechParams(
        voice=voice,
        sampling=services.default_sampling,
        response_format=body.response_format or "wav",
        speed=1.0 if body.speed is None else body.speed,
        seed=body.seed,
        is_spelled_out=is_spelled_out(body.normalize, voice, services),
    )
