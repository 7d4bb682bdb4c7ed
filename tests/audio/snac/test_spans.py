"""Spans compared with the definition of the layers."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.audio.snac.spans import Span

spans = st.builds(
    lambda start, length: Span(start, start + length), st.integers(-60, 60), st.integers(1, 30)
)


def test_length_and_reach() -> None:
    assert Span(-2, 5).length == 7
    assert Span(-2, 5).widen(3) == Span(-5, 8)


@settings(max_examples=50, deadline=None)
@given(span=spans, stride=st.integers(2, 9))
def test_before_stride_is_every_input_that_an_output_depends_on(span: Span, stride: int) -> None:
    padding = -(-stride // 2)
    feeding = [
        index
        for index in range(-200, 200)
        if any(0 <= out + padding - index * stride < 2 * stride for out in range(*span))
    ]
    assert span.before_stride(stride, padding) == Span(feeding[0], feeding[-1] + 1)
    assert feeding == list(range(feeding[0], feeding[-1] + 1))


@settings(max_examples=50, deadline=None)
@given(output=st.integers(0, 79), stride=st.integers(2, 8))
def test_before_stride_agrees_with_torch(output: int, stride: int) -> None:
    padding = -(-stride // 2)
    num_inputs = -(-80 // stride) + 1
    seen = torch.nn.functional.conv_transpose1d(
        torch.eye(num_inputs)[:, None],
        torch.ones(1, 1, 2 * stride),
        stride=stride,
        padding=padding,
        output_padding=stride % 2,
    )[:, 0, output]
    first, end = Span(output, output + 1).before_stride(stride, padding)
    assert seen.nonzero().flatten().tolist() == list(range(max(0, first), min(end, num_inputs)))
