import numpy as np
import torch

from tests.training.codec.speech import TINY
from training.codec.quantizer import (
    CodeUsage,
    Quantized,
    build_quantizer,
    new_usage,
    quantize,
)
from training.distributed import World


def _latents() -> torch.Tensor:
    return torch.randn(2, TINY.latent_dim, 8, generator=torch.Generator().manual_seed(1))


def test_quantizes_as_snac_does() -> None:
    torch.manual_seed(0)
    quantizer = build_quantizer(TINY)
    quantized = quantize(quantizer, _latents())
    latents, codes = quantizer(_latents())
    torch.testing.assert_close(quantized.latents, latents)
    assert [c.tolist() for c in quantized.codes] == [c.tolist() for c in codes]
    assert [c.shape[1] for c in codes] == [2, 4, 8]
    torch.testing.assert_close(quantizer.from_codes(quantized.codes), latents)


def test_gradients_pass_straight_through_to_the_latents() -> None:
    torch.manual_seed(0)
    quantizer = build_quantizer(TINY)
    latents = _latents().requires_grad_()
    total = quantize(quantizer, latents).latents.sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    assert bool((latents.grad != 0).any())
    assert all(book.codebook.weight.grad is None for book in quantizer.quantizers)


def test_codes_and_encoder_approach_each_other_by_the_loss() -> None:
    torch.manual_seed(0)
    quantizer = build_quantizer(TINY)
    latents = _latents().requires_grad_()
    loss = quantize(quantizer, latents).loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    assert bool((latents.grad != 0).any())
    assert all(bool((b.codebook.weight.grad != 0).any()) for b in quantizer.quantizers)


def _quantized(codes: list[list[int]]) -> Quantized:
    projected = [torch.full((1, TINY.codebook_dim, len(each)), 7.0) for each in codes]
    return Quantized(
        torch.zeros(()), torch.zeros(()), [torch.tensor([c]) for c in codes], projected
    )


def test_unused_codes_move_onto_vectors_of_the_batch() -> None:
    torch.manual_seed(0)
    quantizer, usage = build_quantizer(TINY), new_usage(TINY)
    before = [book.codebook.weight.detach().clone() for book in quantizer.quantizers]
    quantized = _quantized([[3], [3, 4], [3, 4, 5, 6]])
    usage.add(quantized)
    assert usage.num_used() == [1, 2, 4]
    usage.restart_unused(quantizer, quantized, np.random.default_rng(0), World())
    for book, old, used in zip(quantizer.quantizers, before, (1, 2, 4), strict=True):
        new = book.codebook.weight.detach()
        kept = list(range(3, 3 + used))
        torch.testing.assert_close(new[kept], old[kept])
        moved = [code for code in range(TINY.codebook_size) if code not in kept]
        torch.testing.assert_close(new[moved], torch.full_like(new[moved], 7.0), atol=0.1, rtol=0)
        assert len(new[moved].unique(dim=0)) == len(moved)
    assert usage.num_used() == [TINY.codebook_size] * 3


def test_codes_fall_out_of_use_with_time() -> None:
    usage = CodeUsage([torch.zeros(4) for _ in range(3)])
    usage.add(_quantized([[0], [0], [0]]))
    for _ in range(200):
        usage.add(_quantized([[1], [1], [1]]))
    assert usage.num_used() == [1, 1, 1]


def test_state_keeps_the_counts() -> None:
    usage, other = new_usage(TINY), new_usage(TINY)
    usage.add(_quantized([[3], [3, 4], [3, 4, 5, 6]]))
    other.load_state_dict(usage.state_dict())
    assert other.num_used() == usage.num_used()
