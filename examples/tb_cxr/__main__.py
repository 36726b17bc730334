"""The main job on real X-rays: three hospitals' chest films, lungs for the organ, tuberculosis for
the diagnosis.

    python -m examples.tb_cxr --data ../shared/data/tb_cxr --out /path/to/trial

DATA holds one folder a hospital, each with a labels.csv (patient, image, mask, diagnosis). It takes
hours on two CPU cores; interrupted, the same command goes on. It prints tables like those in
docs/results-archive.md.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from aggregator.trial.plan import Hospital, Trial
from aggregator.trial.run import run_trial
from aggregator.trial.terminal import bar_on_terminal
from gdshare.errors import GdshareError
from gdshare.logs import start_logging
from gdshare.method import Settings
from gdshare.protocol import Protocol
from gdshare.report.page import PAGE, write_page
from gdshare.report.trial_page import trial_page
from gdshare.training import TrainingPlan

HOSPITALS = ("montgomery", "shenzhen-a", "shenzhen-b")
PROTOCOL = Protocol(patch=75, stride=13, side=32)
"""The source's 299 and 50 px on 2048 px films, scaled to 512 px films."""


NOTE = (
    "Lungs stand for the source's stomach, tuberculosis for gastritis; one film a patient. The "
    "defaults were chosen on these patients' folds."
)


def plan(data: Path, outer_steps: int, seed: int) -> Trial:
    """The trial: the defaults of ``gdshare distill``, and a baseline of 3,000 real patches."""
    return Trial(
        hospitals=[Hospital(name, data / name / "labels.csv") for name in HOSPITALS],
        protocol=PROTOCOL,
        settings=Settings(outer_steps=outer_steps, seed=seed),
        baseline=TrainingPlan(per_class=1000, seed=seed),
    )


def main() -> None:
    """Read the options and hold the trial."""
    parser = argparse.ArgumentParser(prog="python -m examples.tb_cxr", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the three hospitals")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--outer-steps", type=int, default=400, help="T (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="decides every draw (default 0)")
    parser.add_argument("--workers", type=int, default=2, help="hospitals distilled at once")
    options = parser.parse_args()
    trial = plan(options.data, options.outer_steps, options.seed)
    now = datetime.now(UTC)
    start_logging()
    try:
        with bar_on_terminal() as show:
            table = run_trial(trial, options.out, now, show, options.workers)
        page = trial_page(options.out, "Three hospitals' chest X-rays", (NOTE,))
        write_page(options.out / PAGE, page)
    except GdshareError as error:
        sys.exit(str(error))
    print(table)


if __name__ == "__main__":
    main()
