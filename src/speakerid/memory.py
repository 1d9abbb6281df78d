"""Memory that is given back is memory that has to be asked for again."""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Let freed tensors of up to 1 GiB leave their memory to the next ones, and not to the system.

    By default glibc gives a large block back as soon as it is free. A training step on a CPU frees and asks for
    hundreds of megabytes, and the system has to clear them anew. The peak stays what it is. Where the C library is
    another one, nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)


def machine_memory() -> int:
    """Bytes of memory that this machine, or the container that the process runs in, has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    for limit in limits:
        with suppress(OSError, ValueError):  # there is no such group, or its limit is "max"
            physical = min(physical, int(limit.read_text()))
    return physical
