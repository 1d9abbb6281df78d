import platform
import subprocess
import sys

import pytest

# Before glibc 2.38 an aligned block cannot reuse a free one of exactly its size, so it takes a few tensors until a
# larger gap has formed (4 to 9 here).
PAGES_OF_A_TENSOR = """
import resource, torch
from speakerid.base.memory import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(9_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = min(pages() for _ in range(15))
keep_freed_memory()
print(given_back, min(pages() for _ in range(15)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
def test_memory_of_a_freed_tensor_is_reused() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES_OF_A_TENSOR], check=True, capture_output=True, text=True)
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 10
