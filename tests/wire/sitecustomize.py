"""Python reads this at its start where the folder is on its path: it writes down whom the process calls.

``REWILD_WIRE`` names the file. Names that are looked up and addresses that are connected to, but for this
machine's own, are lines of it; and nothing answers, as on a node without a network.
"""

import os
import sys

FILE = os.environ.get("REWILD_WIRE")
HERE = ("localhost", "127.0.0.1", "::1", "", None)


def _write(event, address):
    with open(FILE, "a", encoding="utf-8") as handle:  # noqa: PTH123
        handle.write(f"{event} {address} {' '.join(sys.argv[:3])}\n")


def _hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and str(address[0]) not in HERE:
            _write(event, address[:2])
            raise OSError(101, "Network is unreachable")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        name = arguments[0]
        if isinstance(name, bytes):
            name = name.decode()
        if name not in HERE and name != os.uname().nodename:
            _write(event, name)
            raise OSError(-3, "Temporary failure in name resolution")


if FILE:
    sys.addaudithook(_hook)
