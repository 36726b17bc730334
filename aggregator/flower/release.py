"""Which version of Flower a SuperLink runs, as it says itself.

A SuperLink that was not restarted after an upgrade runs another version than the one installed,
from which it starts the round's app. Only this machine reads it: nginx does not let the address
through.
"""

import json
import ssl
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

DESCRIPTION = "/openapi.json"
MAX_BYTES = 16 << 20
TIMEOUT_S = 30.0


def release_of(address: str, insecure: bool, root_certificates: Path | None) -> str | None:
    """The version, such as ``1.42.0``; None if nothing answers, or it does not say.

    Args:
        address: HOST:PORT.
        insecure: no TLS.
        root_certificates: PEM of the authority behind its certificate; None: the system's.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    scheme = "http"
    if not insecure:
        context = ssl.create_default_context(cafile=root_certificates)
        scheme = "https"
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    url = f"{scheme}://{address}{DESCRIPTION}"
    silent = suppress(OSError, HTTPException, ValueError, KeyError, TypeError)
    with silent, opener.open(url, timeout=TIMEOUT_S) as answer:
        return str(json.loads(answer.read(MAX_BYTES))["info"]["version"])
    return None
