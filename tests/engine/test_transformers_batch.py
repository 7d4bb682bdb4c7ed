"""Joining, stepping and leaving a batch of the bundled voice, without a thread."""

from collections.abc import Iterator
from itertools import islice

import pytest
import torch

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.engine.row_attention import RowCache
from orpheus_server.engine.slot_mask import build_blocked_table
from orpheus_server.engine.transformers_batch import RunningBatch, candidates_of, draw_uniforms
from orpheus_server.engine.transformers_loader import LoadedModel, load_model
from orpheus_server.interfaces import TokenRequest
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.support.engine_contract import GREEDY, POCKET, PROMPT, request

SMALL = TokenLayout(
    audio_token_base=10, codebook_size=3, slot_levels=(0, 1), stop_token_ids=(5, 20)
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(POCKET_FOLDER, "float32", "cpu")


@pytest.fixture(autouse=True)
def _computes_without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def new_batch(
    loaded: LoadedModel, *, max_tokens: int = 100_000, max_num_rows: int = 8
) -> RunningBatch:
    return RunningBatch(
        model=loaded.model,
        layout=POCKET.layout,
        vocab_size=loaded.vocab_size,
        device=loaded.device,
        dtype=loaded.dtype,
        cache=RowCache(max_tokens),
        max_num_rows=max_num_rows,
    )


def greedy(first_id: int, max_tokens: int = 60) -> TokenRequest:
    return request((1, first_id, *PROMPT[1:]), max_tokens=max_tokens, sampling=GREEDY)


def alone(loaded: LoadedModel, wanted: TokenRequest) -> list[int | None]:
    batch = new_batch(loaded)
    token_ids = [batch.join(wanted).token_id]
    while batch.rows:
        token_ids += [new.token_id for new in batch.step()]
    return token_ids


def test_candidates_are_the_ids_of_the_mask_in_order() -> None:
    blocked = build_blocked_table(SMALL, 24, torch.device("cpu"))
    candidates = candidates_of(blocked)
    assert candidates.token_ids.tolist() == [
        [10, 11, 12, 0, 0],
        [13, 14, 15, 0, 0],
        [5, 10, 11, 12, 20],
    ]
    assert candidates.is_padding.sum(dim=1).tolist() == [2, 2, 0]


def test_random_numbers_belong_to_the_seed() -> None:
    first, second = draw_uniforms(3), draw_uniforms(3)
    # Alternating: neither takes numbers from the other.
    pairs = [(next(first), next(second)) for _ in range(150)]
    assert all(a == b for a, b in pairs)
    assert all(0 <= a < 1 for a, _ in pairs)
    assert len({a for a, _ in pairs}) > 140
    assert list(islice(draw_uniforms(4), 5)) != [a for a, _ in pairs[:5]]
    assert list(islice(draw_uniforms(None), 5)) != list(islice(draw_uniforms(None), 5))


def test_rows_that_join_and_leave_do_not_change_the_others(loaded: LoadedModel) -> None:
    """The last row takes the place of one that leaves, with its cache and its counts."""
    batch = new_batch(loaded)
    found: dict[int, list[int | None]] = {}
    rows = {}
    joins = {0: greedy(5), 3: greedy(20, 10), 4: greedy(40, 90), 30: greedy(70, 300)}
    cancelled_at = 20
    for step in range(400):
        if step in joins:
            new = batch.join(joins[step])
            rows[new.row] = step
            found[step] = [new.token_id]
        if step == 6:
            extra = batch.join(greedy(8)).row
        if step == cancelled_at:
            batch.leave(extra)
            batch.leave(extra)
        for new in batch.step() if batch.rows else []:
            if new.row in rows:
                found[rows[new.row]].append(new.token_id)
    assert batch.rows == []
    assert found == {step: alone(loaded, wanted) for step, wanted in joins.items()}


def test_the_reason_of_the_end(loaded: LoadedModel) -> None:
    batch = new_batch(loaded)
    assert batch.join(request(max_tokens=1)).finish_reason == "length"
    assert batch.rows == []
    batch.join(request(max_tokens=2))
    (new,) = batch.step()
    assert new.finish_reason == "length"
    batch.join(request(max_tokens=1000))
    while batch.rows:
        (new,) = batch.step()
    assert (new.finish_reason, new.token_id) == ("stop", POCKET.layout.stop_token_ids[0])


def test_what_has_room(loaded: LoadedModel) -> None:
    """A row may need its whole prompt and `max_tokens`: nothing is left for a third one."""
    batch = new_batch(loaded, max_tokens=500, max_num_rows=2)
    wanted = greedy(5, 190)
    assert len(wanted.prompt_token_ids) + wanted.max_tokens == 200
    assert batch.has_room(wanted)
    batch.join(wanted)
    assert batch.has_room(wanted)
    assert not batch.has_room(greedy(5, 241))
    row = batch.join(greedy(5, 20)).row
    assert not batch.has_room(greedy(5, 1))
    batch.leave(row)
    assert batch.has_room(wanted)


def test_a_prompt_that_fails_leaves_no_row(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = new_batch(loaded)
    batch.join(greedy(5))
    monkeypatch.setattr(RunningBatch, "_forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batch.join(greedy(6))
    monkeypatch.undo()
    assert len(batch.rows) == 1
    (new,) = batch.step()
    assert [new.token_id] == alone(loaded, greedy(5))[1:2]
