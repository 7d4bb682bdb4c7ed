"""Builds the token ids of prompts. A caller's text can never produce a control token.

The `tokenizers` library is the one that wrote the checkpoints' `tokenizer.json`. The engine gets
ids and not text, so no prompt is tokenised twice (the doubled BOS of the reference server).
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.errors import StartError
from orpheus_server.text.front_end import PreparedText


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids for the engine; `num_dropped_symbols` counts what the voice cannot say."""

    token_ids: tuple[int, ...]
    num_text_tokens: int
    num_dropped_symbols: int


class PromptBuilder:
    """Builds prompts for one checkpoint. Callable from any thread."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        # Splits special tokens in a text into ordinary pieces.
        tokenizer.encode_special_tokens = True
        self._checkpoint = checkpoint
        self._tokenizer = tokenizer
        self._forbidden = _control_ids(checkpoint, tokenizer)

    def build(self, chunk: PreparedText, voice: Voice) -> Prompt:
        """Returns the prompt of a chunk: `before`, the tokens of "voice: text", `after`."""
        line = self._checkpoint.prompt.text.format(voice=voice.name, text=chunk.spoken)
        ids = self._tokenizer.encode(line, add_special_tokens=False).ids
        kept = [token_id for token_id in ids if token_id not in self._forbidden]
        template = self._checkpoint.prompt
        return Prompt(
            token_ids=(*template.before, *kept, *template.after),
            num_text_tokens=len(kept),
            num_dropped_symbols=len(ids) - len(kept) + chunk.num_lost_words,
        )


def _control_ids(checkpoint: Checkpoint, tokenizer: Tokenizer) -> frozenset[int]:
    """Returns the ids that only the template and the model may write, not a caller's text."""
    layout = checkpoint.layout
    control = set(range(layout.audio_token_base, layout.audio_token_end))
    control.update(layout.stop_token_ids, checkpoint.prompt.before, checkpoint.prompt.after)
    # `<custom_token_N>` are added tokens that are not marked special in the published files.
    control.update(tokenizer.get_added_tokens_decoder())
    # Symbols that are not in the vocabulary are dropped and counted, not spoken as "unknown".
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is not None and (unknown_id := tokenizer.token_to_id(unknown)) is not None:
        control.add(unknown_id)
    return frozenset(control)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Loads the tokenizer of a checkpoint folder. Raises `StartError` with the file's name."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise StartError(f"{path} is missing: the checkpoint has no tokenizer.")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for a malformed file
        raise StartError(f"{path} cannot be read as a tokenizer: {error}") from error
