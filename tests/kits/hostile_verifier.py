"""A process that verifies damaged and hostile bundles, and says what came of them.

Run as ``python -P -m hostile_verifier COUNT``; every second bundle is signed again, as a hospital
that means harm can. Prints one line of JSON.
"""

import json
import resource
import sys
import time
import traceback
from random import Random

from bundle_factory import NOW, key, signed, sound
from mutation_kit import mutated
from peak_kit import peak_mb

from gdshare.bundle import verify_files
from gdshare.bundle.layout import SIGNATURE
from gdshare.errors import BundleError

ADDRESSES = 4 * 1024**3
"""Bytes: what runs away ends here, not the machine."""


def main(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    whole = sound()
    told: dict[str, object] = {"bundles": count, "refused": 0, "faults": []}
    refused, faults, slowest = 0, [], 0.0
    for number in range(count):
        draw = Random(number)
        name = draw.choice(sorted(whole))
        files = {**whole, name: mutated(whole[name], list(whole.values()), draw)}
        resigned = number % 2 == 1 and name != SIGNATURE
        if resigned:
            files = signed(files)
        began = time.perf_counter()
        try:
            verify_files(files, key().public_key(), NOW)
        except BundleError as refusal:
            refused += 1
            if not str(refusal).isprintable() or len(str(refusal)) > 1000:
                faults.append(f"{number}: refused by {str(refusal)[:200]!r}")
        except BaseException:
            faults.append(f"{number}: {traceback.format_exc()}")
        else:
            if not resigned and files != whole:
                faults.append(f"{number}: {name} was altered, and it passed")
        slowest = max(slowest, time.perf_counter() - began)
    told |= {"refused": refused, "faults": faults[:20]}
    told |= {"slowest_s": slowest, "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
