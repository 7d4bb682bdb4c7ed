"""Embeddings of all ids. Those of codes are made from the vectors in the codec's books.

Codes that sound alike have vectors that are alike, and so embeddings that are alike: a code that
came five times in training is understood, and predicted, from its neighbours. With a free embedding
for each code, an hour of speech was learnt by heart (`docs/training.md`).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.language_model.vocabulary import AUDIO_TOKEN_BASE, NUM_SLOTS, SLOT_LEVELS

NUM_LEVELS = 3
NUM_FEATURES = 256
INITIAL_STD = 0.02


class BookEmbeddings(nn.Module):
    """A small network from the vectors of one book [codes, dim] to embeddings [codes, hidden]."""

    def __init__(self, code_dim: int, hidden_size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(code_dim, NUM_FEATURES)
        self.outer = nn.Linear(NUM_FEATURES, hidden_size, bias=False)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        for linear, scale in ((self.inner, 1.0), (self.outer, INITIAL_STD)):
            std = scale / math.sqrt(linear.in_features)
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * std)
        self.inner.bias.copy_(torch.randn(NUM_FEATURES, generator=generator))

    def forward(self, vectors: Tensor) -> Tensor:
        embeddings: Tensor = self.outer(F.gelu(self.inner(vectors)))
        return embeddings


class TokenEmbeddings(nn.Module):
    """The table of embeddings: free for the prompt's ids, made from vectors for codes.

    The table is also the last layer. `code_vectors` [3, codes, dim] are the codec's: they never
    change.
    """

    code_vectors: Tensor

    def __init__(self, num_codes: int, code_dim: int, hidden_size: int) -> None:
        super().__init__()
        self.prompt = nn.Parameter(torch.zeros(AUDIO_TOKEN_BASE, hidden_size))
        self.slots = nn.Parameter(torch.zeros(NUM_SLOTS, hidden_size))
        self.books = nn.ModuleList(BookEmbeddings(code_dim, hidden_size) for _ in range(NUM_LEVELS))
        self.register_buffer("code_vectors", torch.zeros(NUM_LEVELS, num_codes, code_dim))

    def forward(self) -> Tensor:
        """Returns the table [ids, hidden]."""
        books = [book(vectors) for book, vectors in zip(self.books, self.code_vectors, strict=True)]
        codes = [books[level] + self.slots[slot] for slot, level in enumerate(SLOT_LEVELS)]
        return torch.cat([self.prompt, *codes])

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draws all weights; vectors too, for a model without a codec."""
        self.code_vectors.copy_(torch.randn(self.code_vectors.shape, generator=generator))
        for parameter in (self.prompt, self.slots):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * INITIAL_STD)
        for book in self.books:
            assert isinstance(book, BookEmbeddings)
            book.initialise(generator)
