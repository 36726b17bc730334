import platform
import subprocess
import sys

import pytest

REUSE = """
import resource, sys
from gdshare.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(20):
    bytearray(64 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def pages_cleared(how):
    command = [sys.executable, "-c", REUSE, how]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def keeps_large_buffers():
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)


@pytest.mark.skipif(not keeps_large_buffers(), reason="needs glibc 2.35: older keep up to 32 MiB")
def test_a_freed_buffer_is_used_again_and_not_cleared_anew():
    assert pages_cleared("kept") < 0.2 * pages_cleared("as it is")
