"""The table of blocked ids and the masks of both vLLM model runners, on CPU tensors."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.engine.slot_mask import (
    build_blocked_table,
    layout_from_config,
    layout_to_config,
)

# Two slots of three codes, starting at id 10; 5 and 20 are stop ids. The vocabulary has 24 ids.
SMALL = TokenLayout(
    audio_token_base=10, codebook_size=3, slot_levels=(0, 1), stop_token_ids=(5, 20)
)
VOCAB_SIZE = 24
SLOT_0, SLOT_1, SLOT_0_LATER = [10, 11, 12], [13, 14, 15], [5, 10, 11, 12, 20]


def allowed(row: torch.Tensor) -> list[int]:
    return [int(index) for index in torch.nonzero(row != float("-inf")).flatten()]


def test_the_table_has_a_row_for_each_slot_and_one_for_later_frames() -> None:
    blocked = build_blocked_table(SMALL, VOCAB_SIZE, torch.device("cpu"))
    rows = [torch.nonzero(~row).flatten().tolist() for row in blocked]
    assert rows == [SLOT_0, SLOT_1, SLOT_0_LATER]


def test_the_table_of_the_published_layout() -> None:
    blocked = build_blocked_table(ENGLISH.layout, 156_940, torch.device("cpu"))
    assert blocked.shape == (8, 156_940)
    assert [(~row).sum().item() for row in blocked] == [4096] * 7 + [4096 + 3]
    assert not blocked[6, 128_266 + 6 * 4096]
    assert not blocked[6, 156_937]
    assert not blocked[7, 128_258]


def test_the_layout_reaches_the_engine_process_unchanged() -> None:
    assert layout_from_config(layout_to_config(SMALL)) == SMALL
    with pytest.raises(KeyError, match="orpheus_slots"):
        layout_from_config({})


def vllm_config() -> Any:
    model_config = SimpleNamespace(get_vocab_size=lambda: VOCAB_SIZE)
    return SimpleNamespace(additional_config=layout_to_config(SMALL), model_config=model_config)


@pytest.mark.engine
class TestV1:
    def build(self) -> Any:
        from orpheus_server.engine.slot_mask_v1 import SlotMaskV1

        return SlotMaskV1(vllm_config(), torch.device("cpu"), is_pin_memory=False)

    def update(
        self,
        mask: Any,
        *,
        added: list[tuple[int, list[int]]] | None = None,
        removed: list[int] | None = None,
        moved: list[Any] | None = None,
    ) -> None:
        from vllm.v1.sample.logits_processor import BatchUpdate

        rows = [(index, None, [1, 2], output) for index, output in added or []]
        mask.update_state(
            BatchUpdate(batch_size=0, removed=removed or [], added=rows, moved=moved or [])
        )

    def rows(self, mask: Any, num_rows: int) -> list[list[int]]:
        return [allowed(row) for row in mask.apply(torch.zeros(num_rows, VOCAB_SIZE))]

    def test_the_slot_depends_on_the_length_of_the_output(self) -> None:
        mask = self.build()
        output: list[int] = []
        self.update(mask, added=[(0, output)])
        seen = []
        for token_id in (10, 13, 11, 14):
            seen.append(self.rows(mask, 1)[0])
            output.append(token_id)
        assert seen == [SLOT_0, SLOT_1, SLOT_0_LATER, SLOT_1]

    def test_rows_follow_removals_moves_and_swaps(self) -> None:
        from vllm.v1.sample.logits_processor import MoveDirectionality

        mask = self.build()
        self.update(mask, added=[(0, []), (1, [10]), (2, [10, 13])])
        assert self.rows(mask, 3) == [SLOT_0, SLOT_1, SLOT_0_LATER]
        self.update(mask, moved=[(0, 1, MoveDirectionality.SWAP)])
        assert self.rows(mask, 3) == [SLOT_1, SLOT_0, SLOT_0_LATER]
        self.update(mask, removed=[0], moved=[(2, 0, MoveDirectionality.UNIDIRECTIONAL)])
        assert self.rows(mask, 2) == [SLOT_0_LATER, SLOT_0]
        self.update(mask, removed=[0], added=[(0, [10])])
        assert self.rows(mask, 2) == [SLOT_1, SLOT_0]

    def test_no_update_keeps_the_rows_and_greedy_sampling_needs_the_mask(self) -> None:
        mask = self.build()
        self.update(mask, added=[(0, [10])])
        mask.update_state(None)
        assert self.rows(mask, 1) == [SLOT_1]
        assert mask.is_argmax_invariant() is False


@pytest.mark.engine
class TestV2:
    """The interface of the GPU model runner, called directly: the runner itself needs Triton."""

    def build(self, prompt_lens: list[int]) -> Any:
        from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcRequestState

        from orpheus_server.engine.slot_mask_v2 import SlotMaskV2

        lengths: Any = SimpleNamespace(gpu=torch.tensor(prompt_lens, dtype=torch.int32))
        unused: Any = None
        state = LogitsProcRequestState(
            device=torch.device("cpu"),
            max_num_reqs=len(prompt_lens),
            vocab_size=VOCAB_SIZE,
            all_token_ids=unused,
            prompt_len=lengths,
            prefill_len=unused,
            total_len=unused,
        )
        return SlotMaskV2(vllm_config(), state)

    def context(self, slots: list[int], positions: list[int]) -> Any:
        from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext

        unused: Any = None
        return LogitsContext(
            expanded_idx_mapping=torch.tensor(slots),
            idx_mapping=unused,
            idx_mapping_np=unused,
            expanded_local_pos=unused,
            input_ids=unused,
            pos=torch.tensor(positions),
            seq_lens_upper_bound_np=unused,
        )

    def test_the_slot_depends_on_the_position_and_prompt_length_of_each_row(self) -> None:
        """`pos` is the position of the input token; the sampled token is one further."""
        mask = self.build([4, 7, 2])
        logits = torch.zeros(3, VOCAB_SIZE)
        # Request 2 is at its last prompt token; request 0 has one output id, request 1 has two.
        result = mask.apply(logits, self.context([2, 0, 1], [1, 4, 8]))
        assert result is logits
        assert [allowed(row) for row in result] == [SLOT_0, SLOT_1, SLOT_0_LATER]

    def test_vllms_loader_accepts_it(self) -> None:
        from vllm.v1.worker.gpu.sample.logits_processor import (
            build_custom_logits_processors_params_validator,
        )

        name = "orpheus_server.engine.slot_mask_v2:SlotMaskV2"
        validate = build_custom_logits_processors_params_validator([name])
        params: Any = None
        validate(params)
