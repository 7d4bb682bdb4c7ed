"""Embeddings of codes follow from the vectors of the codec's books."""

import torch

from training.language_model.embeddings import TokenEmbeddings
from training.language_model.vocabulary import AUDIO_TOKEN_BASE, SLOT_LEVELS

NUM_CODES, CODE_DIM, HIDDEN = 5, 8, 16


def build_embeddings() -> TokenEmbeddings:
    embeddings = TokenEmbeddings(NUM_CODES, CODE_DIM, HIDDEN)
    embeddings.initialise(torch.Generator().manual_seed(0))
    return embeddings


def test_the_table_has_the_prompt_and_the_codes_of_each_slot() -> None:
    embeddings = build_embeddings()
    table = embeddings()
    assert table.shape == (AUDIO_TOKEN_BASE + 7 * NUM_CODES, HIDDEN)
    assert torch.equal(table[:AUDIO_TOKEN_BASE], embeddings.prompt)
    codes = table[AUDIO_TOKEN_BASE:].view(7, NUM_CODES, HIDDEN)
    for slot, level in enumerate(SLOT_LEVELS):
        expected = embeddings.books[level](embeddings.code_vectors[level]) + embeddings.slots[slot]
        assert torch.equal(codes[slot], expected)


def test_codes_with_like_vectors_have_like_embeddings() -> None:
    # With free embeddings, an hour of speech was learnt by heart.
    embeddings = build_embeddings()
    embeddings.code_vectors[1, 3] = embeddings.code_vectors[1, 0] + 0.01
    codes = embeddings()[AUDIO_TOKEN_BASE:].view(7, NUM_CODES, HIDDEN)
    near = (codes[4, 3] - codes[4, 0]).norm()
    far = (codes[4, 1] - codes[4, 0]).norm()
    assert near < 0.05 * far


def test_the_gradient_of_a_code_reaches_the_others() -> None:
    embeddings = build_embeddings()
    first = embeddings().detach()
    embeddings()[AUDIO_TOKEN_BASE].sum().backward()
    with torch.no_grad():
        for parameter in embeddings.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)
    changed = (embeddings() - first).abs().amax(-1)[AUDIO_TOKEN_BASE:].view(7, NUM_CODES) > 0
    # Slot 0 is the only one of the first book.
    assert changed.all(1).tolist() == [True] + [False] * 6
