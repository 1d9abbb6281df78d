import platform
import subprocess
import sys

import pytest

PAGES_OF_A_TENSOR = """
import resource, torch
{prepare}
def asked_for():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(asked_for() for _ in range(8)))
"""
KEEP = "from speakerid.memory import keep_freed_memory; keep_freed_memory()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
def test_a_freed_tensor_leaves_its_memory_to_the_next() -> None:
    def pages(prepare: str) -> int:
        code = PAGES_OF_A_TENSOR.format(prepare=prepare)
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert pages(KEEP) < pages("") / 10
