"""Voting on films, and keeping the votes: a trial needs the same ones more than once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aggregator.trial.hospital import Participant
from aggregator.trial.plan import Show
from gdshare.cohort import Split
from gdshare.evaluation import FilmVote, cohort_votes
from gdshare.model import Model
from gdshare.storage import write_json
from gdshare.vote import Votes


@dataclass(frozen=True)
class VoteBook:
    """Votes by model, site and split, kept in one folder.

    Kept votes are taken to be those of the model of that name; a folder belongs to one plan.
    """

    folder: Path
    show: Show

    def all_votes(
        self, name: str, model: Model, sites: Sequence[Participant], split: Split
    ) -> dict[str, list[FilmVote]]:
        """Site -> votes on its films."""
        return {site.name: self._votes(name, model, site, split) for site in sites}

    def _votes(self, name: str, model: Model, site: Participant, split: Split) -> list[FilmVote]:
        path = self.folder / name / f"{site.name}-{split}.json"
        if path.exists():
            return [
                FilmVote(str(line["patient"]), bool(line["positive"]), Votes(*line["votes"]))
                for line in json.loads(path.read_bytes())
            ]
        description = f"{name}: {site.name}'s {split} films"
        votes = cohort_votes(
            model,
            site.cohort,
            split,
            progress=lambda done, total: self.show(description, done, total),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Numbers in place of names: which films are of one patient, not whose.
        numbers = {film.patient: number for number, film in enumerate(reversed(votes))}
        lines = [
            {
                "patient": numbers[film.patient],
                "positive": film.positive,
                "votes": [film.votes.i, film.votes.n, film.votes.p],
            }
            for film in votes
        ]
        write_json(path, lines)
        return votes
