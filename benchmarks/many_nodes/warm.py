"""Answering processes that are forked from one that has loaded torch, in place of loading it each.

``python -P -m benchmarks.many_nodes.warm SOCKET`` waits for ``warm_client``, which a node starts in
place of ``hospital_node.answer`` and which hands over its input, its output and its arguments. The
forked process is then ``hospital_node.answer`` itself, with limits of its own; it ends with its
client, and so with the node.
"""

import json
import os
import socket
import sys
import threading
import traceback
from contextlib import suppress

from hospital_node import answer, counting

POLL_S = 0.1
MAX_WORDS_BYTES = 1 << 16
DESCRIPTORS = 3

LOADED = (answer, counting)
"""What an answer needs, torch with it; ``answer`` alone loads the others when it is asked."""


def main() -> None:
    """Fork a process for each client."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(sys.argv[1])
        listener.listen(128)
        listener.settimeout(POLL_S)
        while True:
            with suppress(TimeoutError):
                client, _ = listener.accept()
                client.setblocking(True)
                with client:
                    if os.fork() == 0:
                        listener.close()
                        _answer(client)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(client: socket.socket) -> None:
    """Be the process that the client asked for."""
    try:
        parent = os.getppid()
        os.setsid()
        words, descriptors, _, _ = socket.recv_fds(client, MAX_WORDS_BYTES, DESCRIPTORS)
        request = json.loads(words)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        threading.Thread(target=_end_with, args=(client,), daemon=True).start()
        # Its parent is the process that forked it, not the node; the client's end is the node's.
        sys.argv = ["hospital_node.answer", *request["limits"], str(parent)]
        answer.main()
    except BaseException:
        traceback.print_exc()  # into the node's log
    finally:
        os._exit(1)


def _end_with(client: socket.socket) -> None:
    with suppress(OSError):
        client.recv(1)
    os._exit(1)


if __name__ == "__main__":
    main()
