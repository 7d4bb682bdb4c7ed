"""The running batch: generations join and leave it between two steps."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.engine.row_attention import RowCache, bucket_of, row_mask
from orpheus_server.engine.slot_mask import build_blocked_table
from orpheus_server.engine.token_sampling import (
    SamplingColumns,
    choose,
    has_penalty,
    is_greedy,
    penalise,
    sampling_columns,
)
from orpheus_server.interfaces import FinishReason, TokenRequest

_NUM_DRAWN = 64


@dataclass(eq=False, slots=True)
class BatchRow:
    """One generation. Its id `last_id` is generated, but not yet in the cache."""

    request: TokenRequest
    uniforms: Iterator[float]
    num_cached: int = 0
    num_generated: int = 0
    last_id: int = 0

    @property
    def num_reserved(self) -> int:
        """Positions that the generation may need."""
        return len(self.request.prompt_token_ids) + self.request.max_tokens


@dataclass(frozen=True, slots=True)
class NewToken:
    """An id of a row; None, and a reason of None, if its logits were not numbers."""

    row: BatchRow
    token_id: int | None
    finish_reason: FinishReason | None


@dataclass(slots=True)
class _Counts:
    """For penalties, per row and id: whether the prompt has it, and its number in the output."""

    is_in_prompt: torch.Tensor
    num_in_output: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The ids that each row of the slot mask allows, padded, and which of them are padding."""

    token_ids: torch.Tensor
    is_padding: torch.Tensor


def candidates_of(blocked: torch.Tensor) -> _Candidates:
    """Returns the ids that are not blocked, in order, for each row of the table."""
    rows = [torch.nonzero(~row).flatten() for row in blocked]
    width = max(row.numel() for row in rows)
    token_ids = torch.zeros(len(rows), width, dtype=torch.int64, device=blocked.device)
    is_padding = torch.ones(len(rows), width, dtype=torch.bool, device=blocked.device)
    for index, row in enumerate(rows):
        token_ids[index, : row.numel()] = row
        is_padding[index, : row.numel()] = False
    return _Candidates(token_ids, is_padding)


def draw_uniforms(seed: int | None) -> Iterator[float]:
    """Yields random numbers in [0, 1), always the same ones for a seed."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    while True:
        # Many at a time: each call costs 5 us.
        yield from torch.rand(_NUM_DRAWN, generator=generator).tolist()


@dataclass(slots=True)
class RunningBatch:
    """The rows of a batch, and the model that computes them. Used by one thread only.

    `layout` decides which ids each position may have, and which ids end a generation.
    """

    model: Any
    layout: TokenLayout
    vocab_size: int
    device: torch.device
    dtype: torch.dtype
    cache: RowCache
    max_num_rows: int
    rows: list[BatchRow] = field(default_factory=list)
    _candidates: _Candidates = field(init=False)
    _counts: _Counts | None = None
    _columns: SamplingColumns | None = None

    def __post_init__(self) -> None:
        blocked = build_blocked_table(self.layout, self.vocab_size, self.device)
        self._candidates = candidates_of(blocked)

    def has_room(self, request: TokenRequest) -> bool:
        """Returns whether the request can join now."""
        new = len(request.prompt_token_ids) + request.max_tokens
        num_rows = len(self.rows) + 1
        longest = max([new, *(row.num_reserved for row in self.rows)])
        return num_rows <= self.max_num_rows and self.cache.fits(num_rows, longest)

    def join(self, request: TokenRequest) -> NewToken:
        """Computes the prompt and the first id. If that fails, the other rows are not affected."""
        uniforms = iter(()) if is_greedy(request) else draw_uniforms(request.seed)
        row = BatchRow(request, uniforms)
        self.rows.append(row)
        self._columns = None
        try:
            return self._compute_prompt(row)
        except BaseException:
            self.leave(row)
            raise

    def step(self) -> list[NewToken]:
        """Computes one id for every row; rows that have ended leave the batch."""
        lengths = [row.num_cached for row in self.rows]
        span = bucket_of(max(lengths) + 1)
        last_ids, positions = torch.tensor(
            [[row.last_id for row in self.rows], lengths], device=self.device
        )
        self.cache.begin_step(positions, span)
        mask = row_mask(positions + 1, span, self.dtype)
        logits = self._forward(last_ids.unsqueeze(1), positions.unsqueeze(1), mask)
        for row in self.rows:
            row.num_cached += 1
        if self._columns is None:
            requests = [row.request for row in self.rows]
            self._columns = sampling_columns(requests, self.device)
        return self._take(list(self.rows), 0, logits, self._columns)

    def leave(self, row: BatchRow) -> None:
        """Frees the row's place, which the last row takes; does nothing if it has left."""
        if row not in self.rows:
            return
        index, last = self.rows.index(row), self.rows.pop()
        self._columns = None
        if last is row:
            return
        self.rows[index] = last
        self.cache.move(len(self.rows), index, last.num_cached)
        if self._counts is not None:
            for counts in (self._counts.is_in_prompt, self._counts.num_in_output):
                counts[index] = counts[len(self.rows)]

    def _compute_prompt(self, row: BatchRow) -> NewToken:
        index, ids = len(self.rows) - 1, row.request.prompt_token_ids
        longest = max(each.num_reserved for each in self.rows)
        self.cache.reserve(len(self.rows), longest, [each.num_cached for each in self.rows[:index]])
        if has_penalty(row.request):
            self._count_prompt(index, ids)
        self.cache.begin_prompt(index)
        prompt = torch.tensor([ids], device=self.device)
        positions = torch.arange(len(ids), device=self.device).unsqueeze(0)
        logits = self._forward(prompt, positions, None)
        row.num_cached = len(ids)
        (new,) = self._take([row], index, logits, sampling_columns([row.request], self.device))
        return new

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        output = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits.to(self.device)

    def _take(
        self, rows: list[BatchRow], first: int, logits: torch.Tensor, columns: SamplingColumns
    ) -> list[NewToken]:
        """Chooses the next id of consecutive rows, of which the first has the index `first`."""
        num_slots = self.layout.num_slots
        in_frame = [
            # The table's last row is for slot 0 after the first frame.
            row.num_generated % num_slots or (num_slots if row.num_generated else 0)
            for row in rows
        ]
        slots = torch.tensor(in_frame, device=self.device)
        candidates = self._candidates.token_ids[slots]
        logits = logits.gather(1, candidates).float()
        if columns.any_penalty:
            counts = self._counts_of(first, len(rows))
            logits = penalise(
                logits,
                counts.is_in_prompt.gather(1, candidates),
                counts.num_in_output.gather(1, candidates),
                columns,
            )
        logits = logits.masked_fill(self._candidates.is_padding[slots], float("-inf"))
        uniform = torch.tensor([[next(row.uniforms, 0.0)] for row in rows], device=self.device)
        places = choose(logits, columns, uniform)
        chosen = candidates.gather(1, places.clamp(min=0).unsqueeze(1))
        if columns.any_penalty:
            counts.num_in_output.scatter_add_(1, chosen, torch.ones_like(chosen).float())
        results = torch.where(places.unsqueeze(1) < 0, -1, chosen).flatten().tolist()
        return [self._take_id(row, each) for row, each in zip(rows, results, strict=True)]

    def _take_id(self, row: BatchRow, token_id: int) -> NewToken:
        if token_id < 0:
            self.cache.clear(self.rows.index(row))
            self.leave(row)
            return NewToken(row, None, None)
        row.last_id = token_id
        row.num_generated += 1
        reason: FinishReason | None = None
        if token_id in self.layout.stop_token_ids:
            reason = "stop"
        elif row.num_generated == row.request.max_tokens:
            reason = "length"
        if reason is not None:
            self.leave(row)
        return NewToken(row, token_id, reason)

    def _count_prompt(self, index: int, ids: tuple[int, ...]) -> None:
        counts = self._counts_of(index, 1)
        counts.is_in_prompt.zero_()
        counts.num_in_output.zero_()
        counts.is_in_prompt[0, list(ids)] = True

    def _counts_of(self, first: int, num_rows: int) -> _Counts:
        """Returns views of the counts of consecutive rows, which a request with a penalty needs."""
        if self._counts is None:
            shape = (self.max_num_rows, self.vocab_size)
            self._counts = _Counts(
                torch.zeros(shape, dtype=torch.bool, device=self.device),
                torch.zeros(shape, device=self.device),
            )
        rows = slice(first, first + num_rows)
        return _Counts(self._counts.is_in_prompt[rows], self._counts.num_in_output[rows])
