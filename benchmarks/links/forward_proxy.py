"""A hospital's proxy for going out: HTTP's CONNECT and nothing else.

    python -m benchmarks.links.forward_proxy HOST PORT [USER:PASSWORD]

Prints a line for each tunnel, and knows nothing of what passes through it.
"""

import socket
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer

CHUNK_BYTES = 65_536
REFUSED = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
LOG_IN = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b'Proxy-Authenticate: Basic realm="hospital"\r\nContent-Length: 0\r\n\r\n'
)


class Proxy(ThreadingTCPServer):
    """Listens until it is shut down."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, account: str = "") -> None:
        """Listen at once.

        Args:
            host: address to listen on.
            port: 0: any.
            account: USER:PASSWORD that is asked for; empty: none.
        """
        self.expected = f"Basic {b64encode(account.encode()).decode()}" if account else ""
        super().__init__((host, port), Tunnel)


class Tunnel(StreamRequestHandler):
    """One connection."""

    server: Proxy

    def handle(self) -> None:
        """Read the request, connect, and pass bytes on in both directions."""
        method, _, rest = self.rfile.readline().decode("latin-1").partition(" ")
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        target = rest.partition(" ")[0]
        if method != "CONNECT":
            self.wfile.write(REFUSED)
            print(f"refused {method} {target}", flush=True)
            return
        if self.server.expected not in ("", headers.get("proxy-authorization")):
            self.wfile.write(LOG_IN)
            print(f"not logged in {target}", flush=True)
            return
        host, _, port = target.rpartition(":")
        try:
            outside = socket.create_connection((host, int(port)), timeout=30)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        print(f"CONNECT {target}", flush=True)
        with outside:
            outside.settimeout(None)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass, args=(outside, self.connection), daemon=True)
            back.start()
            _pass(self.connection, outside)
            back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until the source ends."""
    with suppress(OSError):
        while content := source.recv(CHUNK_BYTES):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def main() -> None:
    """Listen until this process is ended."""
    host, port, *account = sys.argv[1:]
    with Proxy(host, int(port), *account) as proxy:
        proxy.serve_forever()


if __name__ == "__main__":
    main()
