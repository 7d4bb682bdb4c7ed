"""The tokenizer: one token for each word of a prompt, as the server writes it."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from training.files import write_json
from training.language_model.vocabulary import Vocabulary

UNKNOWN_TOKEN = "<unk>"
SPECIAL_TOKENS = {
    "pad_token": "<pad>",
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "unk_token": UNKNOWN_TOKEN,
}


def write_tokenizer(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    tokenizer = Tokenizer(WordLevel(vocabulary.tokens(), unk_token=UNKNOWN_TOKEN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS.values()]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL_TOKENS},
    )
