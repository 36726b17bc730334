"""Damaged and hostile bundles by the thousand, verified in a process that is watched.

A hundred thousand of them, with their figures:

    python -m pytest -m slow -s tests/bundle/test_bundle_hostile.py
"""

import json
import subprocess
import sys

import pytest
from process_kit import environment

SECONDS, MEGABYTES = 2.0, 100.0
"""What one bundle may take; what the process that verifies them all ever holds."""


def trial(count):
    """Have so many verified; returns what the other process says of it."""
    words = [sys.executable, "-P", "-m", "hostile_verifier", str(count)]
    done = subprocess.run(
        words,
        env=environment(PYTHONFAULTHANDLER="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def require_sound(told):
    assert not told["faults"], "\n".join(told["faults"])
    assert told["slowest_s"] < SECONDS
    assert told["peak_mb"] < MEGABYTES
    assert told["refused"] > told["bundles"] / 2  # the damage is felt


def test_damaged_bundles_are_sound_or_refused_within_their_bounds():
    require_sound(trial(2000))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_damaged_bundles_are_sound_or_refused_within_their_bounds(capsys):
    told = trial(100_000)
    with capsys.disabled():
        sys.stdout.write(f"\n{json.dumps(told)}\n")
    require_sound(told)
