import platform
import subprocess
import sys

import pytest

# Before glibc 2.38 an aligned block cannot reuse a free one of exactly its size, so it takes some tensors until a
# larger gap has come together (4 to 9 of them here).
PAGES_OF_A_TENSOR = """
import resource, torch
{prepare}
def asked_for():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(9_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(asked_for() for _ in range(40)))
"""
KEEP = "from speakerid.memory import keep_freed_memory; keep_freed_memory()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
def test_a_freed_tensor_leaves_its_memory_to_the_next() -> None:
    def pages(prepare: str) -> int:
        code = PAGES_OF_A_TENSOR.format(prepare=prepare)
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert pages(KEEP) < pages("") / 10
