"""Has a forked process answer in its place: ``warm_client.py SOCKET SECONDS MIB PARENT``.

Imports little, so that it starts in milliseconds; ends when the forked process does.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Hand over input, output, limits and environment; wait for the end."""
    path, *limits, _ = sys.argv[1:]
    words = json.dumps({"limits": limits, "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(path)
        socket.send_fds(server, [words], [0, 1, 2])
        for descriptor in (0, 1):  # their other ends must see the forked process end
            os.close(descriptor)
        server.recv(1)


if __name__ == "__main__":
    main()
