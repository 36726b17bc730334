"""Voting on films and keeping the votes, since a trial asks for the same ones more than once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aggregator.trial.hospital import Released
from aggregator.trial.plan import Stage
from gdshare.cohort import Split
from gdshare.evaluation import FilmVote, cohort_votes
from gdshare.model import Model
from gdshare.storage import write_json
from gdshare.vote import Votes


@dataclass(frozen=True)
class VoteBook:
    """Votes by model, site and split, kept in one folder.

    A kept vote is taken for the model of that name; a trial's folder belongs to one plan.
    """

    folder: Path
    stage: Stage

    def votes(self, name: str, model: Model, site: Released, split: Split) -> list[FilmVote]:
        """The votes of one site's films, from the book or from the films."""
        path = self.folder / name / f"{site.name}-{split}.json"
        if path.exists():
            return [
                FilmVote(str(line["patient"]), bool(line["positive"]), Votes(*line["votes"]))
                for line in json.loads(path.read_bytes())
            ]
        what = f"{name}: {site.name}'s {split} films"
        found = cohort_votes(
            model, site.cohort, split, progress=lambda done, all_: self.stage.show(what, done, all_)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = {film.patient: number for number, film in enumerate(reversed(found))}
        lines = [
            {
                "patient": numbers[film.patient],  # which films are one patient's, not whose
                "positive": film.positive,
                "votes": [film.votes.i, film.votes.n, film.votes.p],
            }
            for film in found
        ]
        write_json(path, lines)
        return found

    def all_votes(
        self, name: str, model: Model, sites: Sequence[Released], split: Split
    ) -> dict[str, list[FilmVote]]:
        """The votes of several sites' films, by site."""
        return {site.name: self.votes(name, model, site, split) for site in sites}
