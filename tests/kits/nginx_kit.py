"""nginx with a configuration that ``gdshare federation init`` wrote, on the loopback."""

import os
from pathlib import Path

CACHE = "ssl_session_cache shared:all:1m;"
"""As many a machine has it in nginx.conf, for all that it serves."""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_words(written: Path, port: int, folder: Path) -> list[str]:
    """The command that starts it, in the foreground; SIGHUP has it read all again.

    Args:
        written: ``superlink-nginx.conf``.
        port: at which it listens there.
        folder: for nginx's own files.
    """
    server, configuration = folder / "server.conf", folder / "nginx.conf"
    text = written.read_text(encoding="utf-8")
    listening = f"listen 127.0.0.1:{port} ssl"
    assert f"listen {port} ssl" in text
    server.write_text(text.replace(f"listen {port} ssl", listening), encoding="utf-8")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS)
    configuration.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; {CACHE} {temporary} include {server}; }}\n",
        encoding="utf-8",
    )
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    return ["nginx", "-e", "stderr", "-c", str(configuration), *user]
