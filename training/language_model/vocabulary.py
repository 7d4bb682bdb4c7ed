"""Token ids: control ids, speakers, phonemes, then the codes of each slot of a frame.

No id depends on the data, so later speech, texts and speakers leave every id as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError

PAD, BEGIN, END_OF_TEXT, BEGIN_SPEECH, STOP = range(5)
CONTROL_TOKENS = ("<pad>", "<bos>", "<eot>", "<sos>", "<eos>")

MAX_SPEAKERS = 24
FIRST_SPEAKER = len(CONTROL_TOKENS)
FIRST_SYMBOL = FIRST_SPEAKER + MAX_SPEAKERS

SLOT_LEVELS = (0, 1, 2, 2, 1, 2, 2)
"""The SNAC level of each slot of a frame, in the order of generation."""
NUM_SLOTS = len(SLOT_LEVELS)

MARKS = ("_", ".", ",", "!", "?")
CONSONANTS = (
    *("b", "d", "d͡ʒ", "f", "h", "j", "k", "l", "m", "n", "p", "s", "t", "t͡ʃ", "v", "w", "z"),
    *("ð", "ŋ", "ɡ", "ɹ", "ʃ", "ʒ", "θ"),
)
STRESSED_VOWELS = (
    *("aɪ", "aʊ", "eɪ", "i", "oʊ", "u", "æ", "ɑ", "ɔ", "ɔɪ", "ɚ", "ɛ", "ɪ", "ʊ", "ʌ"),
)
SYMBOLS = (
    *MARKS,
    *CONSONANTS,
    "ə",
    *(stress + vowel for stress in ("", "ˈ", "ˌ") for vowel in STRESSED_VOWELS),
)
"""All that gruut's en-us lexicon and its guesser of unknown words produce, and the marks."""

AUDIO_TOKEN_BASE = 128
"""The first audio id: the next multiple of 32 with room for more symbols."""
UNKNOWN = AUDIO_TOKEN_BASE - 1

_SYMBOL_IDS = {symbol: FIRST_SYMBOL + index for index, symbol in enumerate(SYMBOLS)}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The ids of one language model: its speakers, in the order of their ids, and codes a book."""

    speakers: tuple[str, ...]
    codebook_size: int

    def __post_init__(self) -> None:
        if len(self.speakers) > MAX_SPEAKERS:
            raise TrainingError(
                f"{len(self.speakers)} speakers: the vocabulary has room for {MAX_SPEAKERS}"
            )

    @property
    def size(self) -> int:
        return AUDIO_TOKEN_BASE + NUM_SLOTS * self.codebook_size

    def prompt_ids(self, speaker: str, symbols: Sequence[str]) -> list[int]:
        """Returns the ids of a prompt. Raises `TrainingError` for an unknown speaker or symbol."""
        try:
            speaker_id = FIRST_SPEAKER + self.speakers.index(speaker)
            text = [_SYMBOL_IDS[symbol] for symbol in symbols]
        except (ValueError, KeyError) as error:
            raise TrainingError(f"not in the vocabulary: {error}") from error
        return [BEGIN, speaker_id, *text, END_OF_TEXT, BEGIN_SPEECH]

    def audio_ids(self, codes: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
        """Returns the ids of codes [frames, 7], as [7 * frames]."""
        return (codes.astype(np.int64) + self.slot_bases).reshape(-1)

    @property
    def slot_bases(self) -> npt.NDArray[np.int64]:
        """Returns the id of code 0 of each slot, [7]."""
        return AUDIO_TOKEN_BASE + self.codebook_size * np.arange(NUM_SLOTS, dtype=np.int64)

    def tokens(self) -> dict[str, int]:
        """Returns the id of every token; ids without a meaning are named as reserved."""
        ids = {token: index for index, token in enumerate(CONTROL_TOKENS)}
        ids |= {f"{name}:": FIRST_SPEAKER + index for index, name in enumerate(self.speakers)}
        ids |= _SYMBOL_IDS
        ids["<unk>"] = UNKNOWN
        # Ten ids of Orpheus's vocabulary precede the codes, hence the numbers of their names.
        ids |= {f"<custom_token_{10 + i - AUDIO_TOKEN_BASE}>": i for i in self._audio_range()}
        free = set(range(self.size)) - set(ids.values())
        return ids | {f"<reserved_{token_id}>": token_id for token_id in sorted(free)}

    def _audio_range(self) -> range:
        return range(AUDIO_TOKEN_BASE, self.size)
