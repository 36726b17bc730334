"""The benchmark of voting, in small."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from film_kit import PROTOCOL, write_films

from benchmarks import voting
from gdshare.model import Model, save_model
from gdshare.networks import build, draw


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voting")
    write_films(folder / "films", patients=4)
    for name in ("labels.csv", "mask.png"):
        (folder / "films" / name).unlink()
    generator = torch.Generator().manual_seed(0)
    ensemble = tuple(draw("convnet", build("convnet", 16), generator) for _ in range(2))
    for parameters in ensemble:
        parameters[list(parameters)[-1]] = torch.tensor([0.0, 0.1, -0.1])
        parameters[list(parameters)[-2]] = torch.randn(3, 512, generator=generator)
    save_model(folder / "model", Model("convnet", PROTOCOL, ensemble), {"threshold": 0.5})
    return folder


def test_the_plain_loop_and_gdshare_vote_alike(place, monkeypatch, capsys):
    words = [str(place / "model"), str(place / "films"), "--json", str(place / "figures.json")]
    monkeypatch.setattr("sys.argv", ["voting", *words, "--films", "2"])
    voting.main()
    assert capsys.readouterr().out.startswith("2 films, 98 windows, 2 convnet on each")
    figures = json.loads((place / "figures.json").read_text(encoding="utf-8"))
    assert (figures["films"], figures["same_verdicts"]) == (2, 2)
    assert figures["same_votes"] == 1.0
    assert figures["plain_seconds"] > 0 < figures["seconds"]


def test_votes_and_verdicts_that_differ_are_counted(place):
    model = voting.load_model(place / "model")[0]
    sides = voting.measure(model, [place / "films" / "1.png"])
    plain, ours = sides["plain loop"], sides["gdshare"]
    [seen] = ours.maps
    other = replace(ours, maps=(replace(seen, called=np.zeros_like(seen.called)),))
    result = voting.compare(plain, other, 0.5)
    assert result.same_votes < 1
    assert result.same_verdicts == 0


def test_a_folder_without_films_is_refused(place, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["voting", str(place / "model"), str(tmp_path)])
    with pytest.raises(SystemExit, match="no film; give films, or folders of them"):
        voting.main()
