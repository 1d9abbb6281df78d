"""Memory of the process and of the machine."""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Keep glibc from returning freed tensor memory to the system, for blocks of up to 1 GiB.

    By default glibc returns a large block as soon as it is freed. A training step on a CPU frees and allocates hundreds
    of megabytes, which the system has to clear every time. The peak usage does not change. With another C library this
    does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def machine_memory() -> int:
    """Memory of the machine, or of the container that the process runs in, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    for limit in limits:
        with suppress(OSError, ValueError):  # no such control group, or its limit is "max"
            physical = min(physical, int(limit.read_text()))
    return physical
