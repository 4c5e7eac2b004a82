"""Which hosts are this machine: what it serves itself is asked for directly, whatever proxy there is."""

from __future__ import annotations

import ipaddress
import os
import socket

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def is_here(host: str) -> bool:
    """Whether a host is this machine: loopback, its own name, or one of its own addresses."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name in {socket.gethostname().lower(), socket.getfqdn().lower()}:
        return True
    try:
        addresses = [str(ipaddress.ip_address(name.partition("%")[0]))]
    except ValueError:
        try:
            addresses = [
                str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            ]
        except (OSError, UnicodeError):
            return False  # the proxy may know it
    return bool(addresses) and all(map(_is_own, addresses))


def _is_own(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    if mapped.is_loopback or mapped.is_unspecified:
        return True
    family = socket.AF_INET if mapped.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.bind((str(mapped), 0))  # only an address of this machine can be bound
    except OSError:
        return False
    return True


def proxies() -> list[str]:
    """The variables of the environment that name a proxy, however they are spelt."""
    return [name for name, value in os.environ.items() if value and name.lower() in PROXIES]


def proxied(host: str) -> bool:
    """Whether the environment may send requests to a host through a proxy: never to this machine."""
    return bool(proxies()) and not is_here(host)
