"""Real nodes on one machine: their turns to compute, and what the benchmark adds up."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from aggregator.flower.processes import MARK
from benchmarks.many_nodes import __main__ as many_nodes
from benchmarks.many_nodes.node import in_turn
from benchmarks.many_nodes.turns import turn
from benchmarks.many_nodes.watch import Watch, marked, table

HOLD = """
import sys, time
from pathlib import Path
from benchmarks.many_nodes.turns import turn
with turn(Path(sys.argv[1]), 1):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_no_more_compute_at_once_than_there_are_turns(tmp_path):
    inside, most = [0], [0]
    lock = threading.Lock()

    def compute(number):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        with lock:
            inside[0] -= 1
        return number + 1

    computed = []
    waiting = in_turn(compute, tmp_path, 2)
    threads = [threading.Thread(target=lambda n=n: computed.append(waiting(n))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(computed) == [1, 2, 3, 4, 5, 6]
    assert most[0] == 2


def test_turn_of_a_killed_process_goes_to_the_next(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mine\n"
        had = threading.Event()

        def wait():
            with turn(tmp_path, 1):
                had.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not had.wait(0.5)
        holder.send_signal(signal.SIGKILL)
        assert had.wait(10)
        thread.join(10)


def test_memory_and_processor_time_are_of_the_marked_processes_alone():
    work = "import time\nkept = bytearray(40_000_000)\nwhile time.process_time() < 0.3: pass\n"
    work += "print('worked', flush=True)\ntime.sleep(60)"
    words = [sys.executable, "-c", work, "flwr-serverapp"]
    environment = {**os.environ, MARK: "of-this-test"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            assert marked({"of-this-test"}) == [process.pid]
            watch = Watch(lambda: marked({"of-this-test"}))
            watch.look()
        finally:
            process.kill()
    usage = watch.usage["ServerApp"]
    assert usage.most == 1
    assert 40 < usage.memory_mb < 120
    assert 0.25 <= usage.cpu_s < 5
    watch.look()
    assert watch.usage["ServerApp"].cpu_s == usage.cpu_s, "it is kept when the process has ended"
    assert "ServerApp" in table(watch)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("warm", [[], ["--warm"]], ids=["loading", "warm"])
def test_round_of_real_nodes_that_take_turns_closes_with_all_counts(warm, tmp_path, monkeypatch):
    out = tmp_path / "figures.json"
    words = ["many_nodes", "--sites", "4", "--at-once", "1", "--json", str(out), *warm]
    monkeypatch.setattr(sys, "argv", [*words, "--keep", str(tmp_path / "kept")])
    many_nodes.main()
    figures = json.loads(out.read_text())
    assert (figures["bundles"], figures["counted_test_films"], figures["missing"]) == (4, 4, [])
    assert figures["usage"]["node"]["most"] == 4
    assert figures["usage"]["answering process"]["most"] <= (2 if warm else 1)
    assert figures["usage"]["answering process"]["cpu_s"] > 0
