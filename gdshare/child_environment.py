"""The one builder of environments for child processes: no secret is passed on.

A child decodes a stranger's film, or talks to the network; whoever takes it over finds nothing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_SECRET = re.compile(
    r"(?:^|_)(?:PASSPHRASES?|PASSWORDS?|PASSWD|SECRETS?|TOKENS?|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Whether an environment variable holds a secret, by its name: ``GDSHARE_PASSPHRASE``."""
    return _SECRET.search(name) is not None


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment without its secrets.

    Args:
        more: variables to set.
    """
    return {name: value for name, value in os.environ.items() if not is_secret(name)} | more


@contextmanager
def without_secrets() -> Iterator[None]:
    """Keep secrets out of this process's environment while ``multiprocessing`` starts others.

    It passes the environment on by itself. Other threads see the difference.
    """
    secrets = {name: value for name, value in os.environ.items() if is_secret(name)}
    for name in secrets:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ |= secrets
