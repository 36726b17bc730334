import json
import subprocess
import sys

import pytest

from benchmarks import command
from benchmarks.command import one_line_errors, write_figures
from gdshare.errors import UsageError


def test_figures_say_when_by_what_command_and_on_what_they_were_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", "--quick"])
    write_figures(tmp_path / "figures.json", "benchmarks.some", {"speed": 2.0})
    told = json.loads((tmp_path / "figures.json").read_text())
    assert told["command"] == "python -m benchmarks.some --quick"
    assert told["speed"] == 2.0
    assert {"torch", "machine", "python"} <= set(told["versions"])
    assert told["date"].endswith("+00:00")


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_figures(None, "benchmarks.some", {"speed": 2.0})
    assert list(tmp_path.iterdir()) == []


def test_a_known_fault_and_ctrl_c_end_in_one_sentence():
    with pytest.raises(SystemExit, match=r"^give the films by --data$"), one_line_errors():
        raise UsageError("give the films by --data")
    with pytest.raises(SystemExit, match="the same command goes on"), one_line_errors(goes_on=True):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit, match=r"^stopped$"), one_line_errors():
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), one_line_errors():
        raise ZeroDivisionError


def test_generations_of_one_processor_name_are_told_apart(tmp_path, monkeypatch):
    one = "cpu family\t: 25\nmodel\t\t: {}\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n"
    found = []
    for model in (1, 17):
        (tmp_path / str(model)).write_text(one.format(model))
        monkeypatch.setattr(command, "CPUINFO", tmp_path / str(model))
        found.append(command.machine())
    assert "AMD EPYC, family 25, model 1, " in found[0]
    assert "AMD EPYC, family 25, model 17, " in found[1]
    monkeypatch.setattr(command, "CPUINFO", tmp_path / "none")
    assert command.machine()


def test_what_loads_no_torch_is_measured_without_it():
    words = "import sys, benchmarks.bundle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
