"""What the commands of all benchmarks have in common: options, faults, and figures as JSON."""

import argparse
import platform
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gdshare import __version__
from gdshare.errors import GdshareError
from gdshare.storage import write_json

CPUINFO = Path("/proc/cpuinfo")


def parser(name: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """The command line of ``python -m NAME``, with ``--quick`` (its help) and ``--json``."""
    command = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--quick", action="store_true", help=quick)
    command.add_argument("--json", type=Path, help="write the figures here as well")
    return command


def say(line: str) -> None:
    """Print progress, apart from the figures."""
    print(line, file=sys.stderr, flush=True)


def write_figures(path: Path | None, name: str, figures: Mapping[str, object]) -> None:
    """Write a benchmark's figures with the date, the command, and what they were measured on."""
    if path is not None:
        head = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(["python", "-m", name, *sys.argv[1:]]),
            "versions": versions(),
        }
        write_json(path, head | dict(figures))


@contextmanager
def one_line_errors(goes_on: bool = False) -> Iterator[None]:
    """Turn a known error in the block, or Ctrl-C, into an exit with one sentence.

    ``goes_on``: the same command takes up what was done.
    """
    try:
        yield
    except GdshareError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on" if goes_on else "stopped")


def peak_mb() -> float:
    """The highest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def versions() -> dict[str, str]:
    """Releases and machine."""
    # Here: a benchmark of what loads no torch would measure its memory.
    import torch  # noqa: PLC0415

    releases = {"gdshare": __version__, "python": platform.python_version()}
    releases |= {"torch": torch.__version__, "numpy": np.__version__}
    return releases | {"machine": machine()}


def machine() -> str:
    """What CPU-seconds depend on: system, processor, and the instructions that torch uses."""
    import torch  # noqa: PLC0415

    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.system()} {platform.machine()}, {_processor()}, {capability}"


def _processor() -> str:
    """Its name, with the numbers that tell the generations of one name apart."""
    if not CPUINFO.exists():
        return platform.processor() or "processor unknown"
    first, _, _ = CPUINFO.read_text(encoding="utf-8").partition("\n\n")
    lines = (line.partition(":") for line in first.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    numbers = (("family", "cpu family"), ("model", "model"))
    known = [f"{short} {fields[name]}" for short, name in numbers if name in fields]
    return ", ".join([fields.get("model name", "processor unknown"), *known])
