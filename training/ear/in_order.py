"""Which words of a text were heard, in the order of the text."""

from collections.abc import Sequence

from training.ear.normaliser import words_of

MIN_SHARE = 0.5
"""Of the words of a sentence. Whisper tiny misses up to a third of a small voice's words."""


def are_heard(words: Sequence[str], heard: Sequence[str]) -> list[bool]:
    """Returns for each word whether it is in the longest common subsequence of both."""
    lengths = [[0] * (len(heard) + 1) for _ in range(len(words) + 1)]
    for i in range(len(words) - 1, -1, -1):
        for j in range(len(heard) - 1, -1, -1):
            lengths[i][j] = (
                lengths[i + 1][j + 1] + 1
                if words[i] == heard[j]
                else max(lengths[i + 1][j], lengths[i][j + 1])
            )
    found = [False] * len(words)
    i = j = 0
    while i < len(words) and j < len(heard):
        if words[i] == heard[j]:
            found[i] = True
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def find_lost(sentences: Sequence[str], heard: str) -> list[str]:
    """Returns the sentences of which less than half of the words were heard."""
    words = [words_of(sentence) for sentence in sentences]
    found = iter(are_heard([word for each in words for word in each], words_of(heard)))
    shares = [[next(found) for _ in each] for each in words]
    return [
        sentence
        for sentence, each in zip(sentences, shares, strict=True)
        if sum(each) < MIN_SHARE * len(each)
    ]


def is_whole(text: str, heard: str) -> bool:
    """Returns whether a text was heard to its end: most of its words, and one of the last two."""
    found = are_heard(words_of(text), words_of(heard))
    return any(found[-2:]) and sum(found) >= 0.6 * len(found)
