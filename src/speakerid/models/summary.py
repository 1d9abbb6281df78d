"""How many parameters a model has, and how many it applies."""

from torch import nn

from speakerid.layers.stack import LayerStack


def unique_parameters(module: nn.Module) -> int:
    """Parameters, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def applied_parameters(module: nn.Module) -> int:
    """Parameters counted as often as a forward pass applies them: a shared layer once for every application."""
    total = unique_parameters(module)
    for stack in module.modules():
        if isinstance(stack, LayerStack):
            total += (stack.num_layers // len(stack.layers) - 1) * unique_parameters(stack)
    return total


def summary(model: nn.Module) -> str:
    """A table of a classifier's parts, ending in the course's line on the encoder."""
    parts = [(name, child) for name, child in model.named_children() if unique_parameters(child)]
    lines = [f"{'part':<12}{'parameters':>12}{'applied':>12}"]
    for name, part in [*parts, ("model", model)]:
        lines.append(f"{name:<12}{unique_parameters(part):>12,}{applied_parameters(part):>12,}")
    size = unique_parameters(model.get_submodule("encoder")) / 1000
    return "\n".join([*lines, f"The parameter size of encoder block is {size:.2f}k"])
