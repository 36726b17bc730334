"""Processes of a real federation are killed at random, and its rounds close all the same."""

import json
import sys

import pytest

from benchmarks.kills import __main__ as kills


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_fifty_random_kills_lose_no_round_and_count_nothing_twice(tmp_path, monkeypatch):
    out = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["kills", "--json", str(out), "--keep", str(tmp_path / "s")])
    kills.main()
    figures = json.loads(out.read_text())
    assert sum(figures["killed"].values()) == 50
    assert figures["closed"] == figures["rounds"] > 0
    assert (figures["hung"], figures["counted_twice"], figures["said_twice"]) == (0, 0, 0)
    assert figures["failures"] == []
    assert figures["left"] == [], "processes outlived the federation"
