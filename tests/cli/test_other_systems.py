"""The core on systems that lack parts of POSIX: simulated here, by taking those parts away."""

import json
import os
import subprocess
import sys
from pathlib import Path

from audit_kit import audit_within_bounds
from bundle_run_kit import PASSPHRASE, make_run

WALK = Path(__file__).parent.parent / "kits" / "core_walk.py"
ABSENT = ("fcntl", "grp", "pwd", "resource", "termios")
WITHOUT = (
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "O_DIRECTORY",
    "environb",
    "fchmod",
    "fork",
    "getuid",
    "umask",
)
LIKE_WINDOWS = f"""
import sys
import filelock

class Lock:
    "In place of the lock that filelock has on Windows."
    def __init__(self, path, **options): pass
    def acquire(self, timeout): pass
    def release(self): pass

filelock.FileLock = Lock
sys.modules.update(dict.fromkeys({ABSENT}))
import gdshare.cli.main
import hospital_node.__main__
import aggregator.aggregate_command, aggregator.demo
import os
for name in {WITHOUT}:
    delattr(os, name)
"""


def like_windows(script, *words, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIKE_WINDOWS + script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "USERNAME": "officer", **environment},
    )


def test_help_needs_nothing_that_windows_lacks():
    run = like_windows("gdshare.cli.main.main(['--help'])")
    assert (run.returncode, run.stderr) == (0, "")


def test_the_core_walks_from_keys_to_a_verified_bundle_without_what_windows_lacks(tmp_path):
    audit_within_bounds(make_run(tmp_path / "run"))
    script = f"import runpy; runpy.run_path({str(WALK)!r}, run_name='__main__')"
    run = like_windows(script, tmp_path, GDSHARE_PASSPHRASE=PASSPHRASE)
    assert (run.returncode, run.stderr) == (0, "")
    assert not {*ABSENT} & {*json.loads(run.stdout)}


def test_what_windows_lacks_is_missing_in_the_simulation():
    run = like_windows("import fcntl")
    assert "import of fcntl halted" in run.stderr
    assert "has no attribute 'fchmod'" in like_windows("os.fchmod").stderr
