"""Memory that is given back is memory that has to be asked for again."""

import ctypes
import platform

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
