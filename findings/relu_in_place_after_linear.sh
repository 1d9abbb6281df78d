#!/bin/bash
# torch 2.14.1: torch.nn.ReLU(inplace=True) after torch.nn.Linear makes the backward pass of (batch, frames, width) features
# copy the gradient, and that of (frames, width) features not. One would guess: changing in place saves memory traffic for
# either. A biased linear layer multiplies flattened frames and returns a view of the product, and autograd treats a view
# that is changed in place as a slice of its base (CopySlices): it clones the whole gradient and copies parts of it back.
# Without a bias, or out of place, it does not.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy
"$folder/venv/bin/python" - <<'P'
import torch

def copies(shape, bias, inplace):
    layer, activation = torch.nn.Linear(8, 16, bias=bias), torch.nn.ReLU(inplace=inplace)
    loss = activation(layer(torch.randn(*shape, 8))).sum()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        loss.backward()
    found = sum(event.count for event in profiler.key_averages() if event.key == "aten::copy_")
    print(f"{shape}, bias={bias}, inplace={inplace}: {found} copies in the backward pass")
    return found

frames, batch = (12,), (3, 4)
assert copies(frames, True, False) == copies(frames, True, True) == 0
assert copies(batch, True, False) == copies(batch, False, False) == copies(batch, False, True) == 0
assert copies(batch, True, True) >= 3
P
