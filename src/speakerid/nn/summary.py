"""Parameter counts of a model: unique, and as applied."""

from torch import nn

from speakerid.nn.encoder import Encoder


def unique_parameters(module: nn.Module) -> int:
    """Number of parameters, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def applied_parameters(module: nn.Module) -> int:
    """Number of parameters, each counted as often as a forward pass applies it (shared layers several times)."""
    total = unique_parameters(module)
    for encoder in module.modules():
        if isinstance(encoder, Encoder):
            total += (encoder.num_layers // len(encoder.layers) - 1) * unique_parameters(encoder.stack)
    return total


def summary(model: nn.Module) -> str:
    """Table of a classifier's parts, ending in the line on the encoder's size that the report quotes."""
    parts = [(name, child) for name, child in model.named_children() if unique_parameters(child)]
    lines = [f"{'part':<12}{'parameters':>12}{'applied':>12}"]
    for name, part in [*parts, ("model", model)]:
        lines.append(f"{name:<12}{unique_parameters(part):>12,}{applied_parameters(part):>12,}")
    size = unique_parameters(model.get_submodule("encoder")) / 1000
    return "\n".join([*lines, f"The parameter size of encoder block is {size:.2f}k"])
