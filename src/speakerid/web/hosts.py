"""Hosts that a server can listen on."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host's ports can be reached only from this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
