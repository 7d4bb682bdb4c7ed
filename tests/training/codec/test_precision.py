import torch

from training.codec.precision import fast_products


def test_weights_and_gradients_stay_in_float32() -> None:
    layer = torch.nn.Linear(4, 4)
    with fast_products(torch.device("cpu")):
        found = layer(torch.ones(1, 4))
    found.float().sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
