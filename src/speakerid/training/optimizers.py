"""Optimizers: AdamW, and Muon for matrices.

Shapes: N matrices, R rows, C columns, R ≤ C.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from speakerid.config.train import TrainConfig

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Settings of AdamW, PyTorch's defaults."""
COEFFICIENTS = (8.0934, -23.6204, 17.4462), (3.6366, -2.7219, 0.5365), (2.6613, -1.9772, 0.4526)
"""Coefficients of the polynomials a x + b x³ + c x⁵ that move singular values toward 1, one after the other. Each is
the best one for the interval to which those before it move the singular values between 0.01 and 1 (Amsel et al., 2025,
"The Polar Express", theorem 3.1). The three do about as much as five times the same one (Jordan et al., 2024)."""
MOMENTUM = 0.95
ADAMW_STEP = 0.2
"""Root mean square of an AdamW step divided by its learning rate (Liu et al., 2025, section 2.2)."""


class Optimizer(torch.optim.Optimizer):
    """`torch.optim.Optimizer` that does not import torch._dynamo, which takes as long as to import torch itself.

    PyTorch wraps these methods so that `torch.compile` leaves them alone, and the wrapper imports it. Here only the
    forward pass is ever compiled.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) by PyTorch's fused kernel; steps and state as of `torch.optim.AdamW`.

    Args:
        groups: parameter groups with `weight_decay`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "fused": True})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [self._state_of(parameter) for parameter in parameters]
            adamw(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=group["fused"],
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=EPSILON,
                maximize=False,
            )

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class Muon(Optimizer):
    """Muon: orthogonalized momentum, so that a step moves a matrix equally far in every direction.

    Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks", with Nesterov momentum and
    decoupled weight decay. Steps have the size of AdamW's (Liu et al., 2025, "Muon is scalable for LLM training",
    equation 4), so that both use the same learning rate. A convolution kernel is a matrix with a row for each output
    channel.

    `torch.optim.Muon` does the same for one matrix at a time, in bfloat16, and waits for the device to read the
    learning rate.

    Args:
        groups: parameter groups with `weight_decay`; parameters have two dimensions or more.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            parameters, learning_rate = group["params"], group["lr"]
            by_shape = defaultdict(list)
            for parameter, momentum in zip(parameters, self._momenta(parameters), strict=True):
                by_shape[tuple(sorted(_matrix(parameter).shape))].append((parameter, momentum))
            torch._foreach_mul_(parameters, 1 - learning_rate * group["weight_decay"])  # pyright: ignore[reportPrivateImportUsage]
            for pairs in by_shape.values():
                steps = orthogonalized(torch.stack([_wide(_matrix(momentum)) for _, momentum in pairs]))
                steps *= learning_rate * (ADAMW_STEP * math.sqrt(steps.shape[-1]))
                for (parameter, _), step in zip(pairs, steps, strict=True):
                    parameter.sub_((step if _is_wide(_matrix(parameter)) else step.mT).reshape_as(parameter))

    def _momenta(self, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        """Nesterov momenta after this step's gradients."""
        gradients, momenta = [], []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
            momenta.append(state["momentum"])
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)  # pyright: ignore[reportPrivateImportUsage]
        return torch._foreach_lerp(gradients, momenta, MOMENTUM)  # pyright: ignore[reportPrivateImportUsage]


def orthogonalized(x: Tensor) -> Tensor:
    """(N, R, C) matrices with their singular values moved close to 1; zeros stay zeros.

    Singular values from 0.01 of the matrix's norm on end between 0.73 and 1.27, smaller ones grow up to 78 times. These
    are Newton-Schulz iterations, which consist of matrix products only and are fast on every device.
    """
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for a, b, c in COEFFICIENTS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def optimizers(model: nn.Module, settings: TrainConfig) -> list[Optimizer]:
    """Optimizers of a run, with weight decay for matrices and kernels but not for norms and biases.

    With Muon the classifier is trained by AdamW, as its authors do: each row is a class, which is in a batch or not.
    """
    inner: list[nn.Parameter] = []
    outer: list[nn.Parameter] = []
    fixed: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.ndim <= 1 or name.endswith("bias"):
            fixed.append(parameter)
        else:
            (outer if name.startswith("classifier.") else inner).append(parameter)

    def decaying(*parameters: nn.Parameter) -> dict[str, Any]:
        return {"params": parameters, "weight_decay": settings.weight_decay}

    rest = {"params": fixed, "weight_decay": 0.0}
    if settings.optimizer == "muon":
        return [Muon([decaying(*inner)]), AdamW([decaying(*outer), rest])]
    return [AdamW([decaying(*inner, *outer), rest])]


def restore(optimizers: Sequence[Optimizer], states: Sequence[dict[str, Any]]) -> float:
    """Restore the states of optimizers, but not their settings.

    Returns:
        The saved learning rate.

    Raises:
        ValueError: the states are damaged or of other optimizers.
    """
    if len(states) != len(optimizers):
        raise ValueError(f"it has {len(states)} optimizers, but this run has {len(optimizers)}")
    try:
        for optimizer, state in zip(optimizers, states, strict=True):
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, before in zip(optimizer.param_groups, settings, strict=True):
                group.update(before)
        rate = float(states[0]["param_groups"][0]["lr"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError("its optimizers are damaged") from error
    for optimizer in optimizers:
        names = {"momentum"} if isinstance(optimizer, Muon) else {"step", "exp_avg", "exp_avg_sq"}
        for parameter, state in optimizer.state.items():
            if not isinstance(parameter, Tensor) or not isinstance(state, dict) or state.keys() != names:
                raise ValueError("its optimizers are damaged")
            for name, value in state.items():
                shape = () if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != shape or not bool(torch.isfinite(value).all()):
                    raise ValueError("its optimizers are those of another model, or damaged")
    return rate


def _matrix(tensor: Tensor) -> Tensor:
    return tensor.flatten(1)


def _is_wide(matrix: Tensor) -> bool:
    return matrix.shape[0] <= matrix.shape[1]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if _is_wide(matrix) else matrix.mT
