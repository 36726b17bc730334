"""How torch's threads wait for one another."""

import os
from collections.abc import MutableMapping


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have threads that wait sleep rather than spin, unless somebody chose otherwise.

    OpenMP reads it as torch is loaded, so call it before. On two cores that two other processes
    kept busy, classifying a film took 50 CPU-seconds with threads that spun, and 7 without.
    """
    environment.setdefault("OMP_WAIT_POLICY", "passive")
