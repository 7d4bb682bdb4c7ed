"""Whether the frozen encoder is in use: then it must not be replaced."""

from training.errors import TrainingError
from training.folder import TrainingFolder
from training.states import saved_states


def is_in_use(folder: TrainingFolder) -> bool:
    """Returns True if tokens or a decoder were made with the frozen encoder."""
    return bool(any(folder.tokens.glob("[0-9]*.safetensors")) or saved_states(folder.decoder))


def check_not_in_use(folder: TrainingFolder) -> None:
    """Raises `TrainingError` if another encoder would not fit what was made with this one."""
    if is_in_use(folder):
        raise TrainingError(
            f"{folder.encoder} is in use: {folder.tokens} or {folder.decoder} was made with it; "
            "NEW_CODEC=1 begins another codec beside it"
        )
