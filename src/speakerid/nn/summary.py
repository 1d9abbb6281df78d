"""Parameter counts of a model: unique, and as applied."""

from torch import nn

from speakerid.nn.stack import LayerStack


def unique_parameters(module: nn.Module) -> int:
    """Number of parameters, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def applied_parameters(module: nn.Module) -> int:
    """Number of parameters, each counted as often as a forward pass applies it (shared layers several times)."""
    total = unique_parameters(module)
    for stack in module.modules():
        if isinstance(stack, LayerStack):
            total += (stack.num_layers // len(stack.layers) - 1) * unique_parameters(stack)
    return total


def summary(model: nn.Module) -> str:
    """Table of a classifier's parts, ending in the line on the encoder's size that the report quotes."""
    parts = [(name, child) for name, child in model.named_children() if unique_parameters(child)]
    lines = [f"{'part':<12}{'parameters':>12}{'applied':>12}"]
    for name, part in [*parts, ("model", model)]:
        lines.append(f"{name:<12}{unique_parameters(part):>12,}{applied_parameters(part):>12,}")
    size = unique_parameters(model.get_submodule("encoder")) / 1000
    return "\n".join([*lines, f"The parameter size of encoder block is {size:.2f}k"])
