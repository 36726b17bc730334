"""Real processes that meet on the loopback interface."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch

from gdshare.distill.workers import ALONE, Workers, join


def test_shares_are_disjoint_and_together_everything():
    for size in (1, 2, 3, 5):
        shares = [list(Workers(rank, size).share(4)) for rank in range(size)]
        assert sorted(chain.from_iterable(shares)) == [0, 1, 2, 3]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_first_process_is_the_main_one():
    assert [Workers(rank, 3).is_main for rank in range(3)] == [True, False, False]


def test_single_process_communicates_with_nobody():
    assert join() == ALONE
    table = torch.tensor([1.0, -0.0])
    assert ALONE.all_reduce(table) is table
    assert ALONE.any(True)
    assert not ALONE.any(False)


WORK = """
import json, os, sys
import torch
from gdshare.distill.workers import ALONE, join, spawn_workers
from gdshare.errors import RunError

def work(workers):
    table = torch.zeros(5, 2)
    for row in workers.share(5):
        table[row] = torch.tensor([row + 0.1, torch.nan if row == 3 else 1e-30])
    table = workers.all_reduce(table).tolist()
    result = {"rank": workers.rank, "size": workers.size, "table": table}
    result["any"] = workers.any(workers.rank == 1), workers.any(False)
    workers.barrier()
    with open(os.path.join(sys.argv[1], str(workers.rank)), "w") as out:
        json.dump(result, out)

if "WORLD_SIZE" in os.environ:
    work(join())
    os._exit(0 if sys.argv[2] == "stay" else 9)
with spawn_workers(2, [sys.executable, *sys.argv]):
    workers = join()
    work(workers)
    if sys.argv[2] == "leave":
        try:
            workers.barrier()
        except RunError as error:
            print(error)
left = {"WORLD_SIZE", "RANK", "GDSHARE_WORKERS"} & set(os.environ)
print("alone again" if join() == ALONE and not left else left)
"""


@pytest.mark.parametrize("end", ["stay", "leave"])
def test_spawned_workers_reduce_a_table_and_agree(tmp_path, end):
    script = tmp_path / "work.py"
    script.write_text(WORK, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, script, tmp_path, end],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    first, second = (json.loads((tmp_path / rank).read_text(encoding="utf-8")) for rank in "01")
    assert (first.pop("rank"), second.pop("rank")) == (0, 1)
    assert str(first) == str(second), "nan is not equal to itself"
    table = torch.tensor(first["table"])
    expected = torch.tensor([[row + 0.1, 1e-30] for row in range(5)])
    expected[3, 1] = torch.nan
    assert torch.equal(table.nan_to_num(7.0), expected.nan_to_num(7.0)), "sums with 0 are exact"
    assert first["size"] == 2
    assert first["any"] == [True, False]
    lines = ended.stdout.splitlines()
    if end == "leave":
        assert "another process of this run has ended" in lines.pop(0)
    assert lines == ["alone again"]


ENDS_EARLY = """
import sys
from gdshare.distill.workers import spawn_workers
from gdshare.errors import RunError
try:
    with spawn_workers(2, [sys.executable, "-c", "raise SystemExit(1)"]):
        print("began")
except RunError as error:
    print(error)
"""


def test_worker_that_ends_before_it_arrives_is_not_waited_for():
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_EARLY], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout.startswith("a worker ended before it began")


LISTENING = """
import sys
from gdshare.distill.workers import join, spawn_workers
import os
if "WORLD_SIZE" in os.environ:
    workers = join()
    workers.barrier()
    os._exit(0)
with spawn_workers(2, [sys.executable, *sys.argv]):
    workers = join()
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                print(words[1])
    workers.barrier()
"""


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")
def test_nothing_listens_beyond_the_loopback_interface(tmp_path):
    script = tmp_path / "listen.py"
    script.write_text(LISTENING, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    listening = [line.partition(":")[0] for line in ended.stdout.split()]
    assert listening, "gloo listens somewhere, else this test looks at nothing"
    assert set(listening) <= {"0100007F", "00000000000000000000000001000000"}
