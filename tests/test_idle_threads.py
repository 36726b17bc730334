import os
import subprocess
import sys

import pytest

from gdshare.idle_threads import let_threads_sleep

COMMANDS = ("gdshare.cli.main", "hospital_node.__main__")


def test_somebodys_own_choice_stays():
    environment = {"OMP_WAIT_POLICY": "active"}
    let_threads_sleep(environment)
    assert environment == {"OMP_WAIT_POLICY": "active"}


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_sets_it_before_torch_is_loaded(module):
    code = (
        f"import os, sys, {module} as command\n"
        "assert 'torch' not in sys.modules\n"
        "try: command.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    clean = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    words = [sys.executable, "-c", code]
    ended = subprocess.run(words, env=clean, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "passive"
