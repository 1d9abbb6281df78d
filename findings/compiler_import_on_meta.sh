#!/bin/bash
# torch 2.14.1: building a model on the meta device is meant to cost nothing, and torch.eye and torch.nn.init.normal_ on it
# import the whole compiler (torch._dynamo), which takes about as long as `import torch`; so do torch.optim.AdamW(...) and
# torch.use_deterministic_algorithms(True) on any device. torch.zeros, torch.nn.Linear on the meta device, and torch.eye on
# the CPU do not. One would guess: none of them needs a compiler before torch.compile is called.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy
"$folder/venv/bin/python" - <<'P'
import subprocess
import sys

def imports(code):
    script = f"import sys, torch\nmeta = torch.device('meta')\n{code}\nprint('torch._dynamo' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{code}: {'imports' if found == 'True' else 'does not import'} torch._dynamo")
    return found == "True"

assert not imports("torch.zeros(3, device=meta)")
assert not imports("torch.nn.Linear(3, 3, device=meta)")
assert not imports("torch.eye(3)")
assert imports("torch.eye(3, device=meta)")
assert imports("torch.nn.init.normal_(torch.empty(3, device=meta))")
assert imports("torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))])")
assert imports("torch.use_deterministic_algorithms(True)")
P
