"""What ``gdshare distill`` prints of a finished run."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gdshare.cli.terminal import print_json, print_line, print_next
from gdshare.distill.run_folder import PREVIEW, PRIVACY, RESULT
from gdshare.next_steps import commands

if TYPE_CHECKING:
    from gdshare.distill.loop import Outcome

log = logging.getLogger(__name__)


def report_outcome(
    cohort: Path, out: Path, outcome: "Outcome", private: bool, as_json: bool
) -> None:
    """Print score, files and what comes next; with ``as_json`` for programs."""
    score = outcome.score
    if as_json:
        return print_json(
            {
                "distilled": str(out / RESULT),
                "preview": str(out / PREVIEW),
                "step": outcome.step,
                "patch_score": score.mean,
                "patch_score_deviation": score.deviation,
                "patch_score_low": score.lower if len(score.values) > 1 else None,
                "inits": len(score.values),
                "train_patch_score": outcome.train_score,
                "at_chance": outcome.at_chance,
                **({"privacy": str(out / PRIVACY)} if private else {}),
            }
        )
    if private:
        _print_guarantee(out, outcome)
    else:
        _print_scores(outcome)
    print_line(f"images      {out / RESULT}")
    print_line(f"picture     {out / PREVIEW}")
    if outcome.at_chance:
        log.warning(
            "warning: this result is no better than chance; distil longer, or check the films and "
            "their outlines before publishing it"
        )
    print_next(commands.audit(out, cohort))
    return None


def _print_scores(outcome: "Outcome") -> None:
    score = outcome.score
    inits = len(score.values)
    spread = f"deviation {score.deviation:.3f} over {inits} fresh θ0" if inits > 1 else "one θ0"
    print_line(
        f"patch score {score.mean:.3f} ({spread}, validation patients, step {outcome.step}; "
        "chance is 0.333)"
    )
    if outcome.train_score is not None:
        gap = outcome.train_score - score.mean
        print_line(f"on the training patches {outcome.train_score:.3f}, a gap of {gap:.3f}")


def _print_guarantee(out: Path, outcome: "Outcome") -> None:
    from gdshare.private.record import read_privacy

    record = read_privacy(out)
    print_line(
        f"patch score {outcome.score.mean:.3f} (surrogates, not patients, step {outcome.step}; "
        "chance is 0.333)"
    )
    print_line(
        f"guarantee   ε {record.epsilon:g}, δ {record.delta:g} for each training patient; "
        f"{out / PRIVACY} says what is outside"
    )
