"""The page of a round that did not go as one would wish."""

from html import unescape

import pytest
from bundle_factory import GUARANTEE, distilled

from gdshare.errors import FederationError
from gdshare.report.page import render
from gdshare.report.round_page import RoundFile, read_round, round_page
from gdshare.report.sections import Shared


def counts(tp, fn, tn, fp):
    return {"tp": tp, "fn": fn, "tn": tn, "fp": fp}


def row(name, sent, worst=None, best=None, **figures):
    shares = {"sensitivity": 0.5, "specificity": 0.5, "harmonic_mean": 0.5} | figures
    interval = {"low": 0.2, "high": 0.8}
    return {
        "name": name,
        "counts": sent,
        "worst": worst or sent,
        "best": best or sent,
        **shares,
        "intervals": dict.fromkeys(shares, interval),
    }


def result(**changes):
    """A round of two hospitals; the second has no positive film, and tells no small counts."""
    rows = [
        row("north", counts(5, 5, 5, 5)),
        row("south", counts(0, 0, 16, 4), counts(0, 0, 14, 6), counts(0, 0, 18, 2)),
        row("all sites", counts(5, 5, 21, 9), counts(5, 5, 19, 11), counts(5, 5, 23, 7)),
    ]
    one = [counts(5, 5, 5, 5)] * 3
    values = {
        "network": "scattering",
        "networks": 1,
        "epsilon": 0.4,
        "epsilon_chosen": True,
        "thresholds": [0.0, 0.5, 1.0],
        "validation": {"north": one, "south": one},
        "rows": rows,
        "bundles": {"north": "ab" * 32, "south": "cd" * 32},
        "refusals": [],
        "plausibility": {},
        "weights": {"north": 0.5, "south": 0.5},
        "missing": [],
        "silent": [],
        "seconds": {"train": 1.5},
        "bytes_moved": {"bundles": 1000, "model": 2000},
        "order": {"pooling": "average", "seed": 77, "trust": "/home/somebody/trust"},
        "suppress_below": {"north": 1, "south": 5},
    }
    return RoundFile.model_validate(values | changes)


def page(**changes):
    return unescape(render(round_page(result(**changes), (), "round")).decode())


def test_what_is_not_known_exactly_is_a_range():
    html = page()
    cells = "".join(html.split('<th scope="row">south</th>')[2].split("</tr>")[0].split())
    assert cells.startswith("<td>20</td><td>-</td><td>0.50[0.20,0.80]</td><td>-</td>")
    assert "<td>14-18</td><td>2-6</td>" in cells
    assert "A hospital does not tell counts of a few films" in html


def test_refused_missing_and_silent_are_named():
    refused = {"node": 7, "reason": "Withdrawn", "message": "it was withdrawn", "name": "east-1"}
    html = page(
        refusals=[refused, refused | {"name": None, "reason": "UnknownSite"}],
        missing=[{"site": "south", "what": "validation", "reason": "too few films"}],
        silent=[9],
        epsilon_chosen=False,
    )
    assert "east-1" in html
    assert "node 7" in html
    assert "south: no validation counts (too few films)." in html
    assert "Without an answer: node 9." in html
    assert "taken from the source" in html
    assert "No bundle was refused" not in html
    first = html.split("<nav")[0]
    assert "Missing: no validation counts of south; 2 bundles refused or quarantined" in first
    assert "it was withdrawn" not in html, "what the operator was told may name folders"


def test_a_figure_that_does_not_exist_is_not_called_0():
    empty = row("all sites", counts(0, 0, 16, 4), harmonic_mean=0.0)
    html = page(rows=[row("south", counts(0, 0, 16, 4), harmonic_mean=0.0), empty])
    assert "reaches an HM that cannot be computed" in html
    assert "on 20 test films of 1 hospital." in html
    assert "HM 0.00" not in html


def test_a_hospital_that_is_too_small_to_tell_anything_is_not_counted():
    nothing = counts(0, 0, 0, 0)
    rows = [row("north", counts(5, 5, 5, 5)), row("south", nothing), row("all", counts(5, 5, 5, 5))]
    html = page(rows=rows)
    assert "on 20 test films of 1 hospital." in html
    assert "too few films to tell any count: south" in html.split("<nav")[0]


def test_no_path_and_no_seed_is_on_the_page():
    html = page()
    assert "/home/somebody" not in html
    assert ">77<" not in html


def test_a_bundle_that_was_admitted_in_spite_of_its_figures_says_so():
    screened = {"accepted": True, "faults": ["does not beat chance"], "teaching": None}
    html = page(plausibility={"north": screened})
    assert "does not beat chance" in html
    assert "admitted by the operator in spite of that" in html


def test_a_bundle_in_quarantine_is_not_called_admitted():
    screened = {
        "teaching": {"auc": 0.5, "p": 0.5, "positives": 3, "negatives": 4, "asked": "films"}
    }
    html = page(plausibility={"north": screened, "west": screened, "east": {"agreement": None}})
    rows = {
        name: "".join(html.split(f'<th scope="row">{name}</th>')[-1].split("</tr>")[0].split())
        for name in ("west", "east")
    }
    assert "quarantined" in rows["west"]
    assert "nottested" in rows["east"]


def test_a_round_that_is_not_over_has_no_page(tmp_path):
    with pytest.raises(FederationError, match="no finished round here"):
        read_round(tmp_path)
    (tmp_path / "round.json").write_text("{}")
    with pytest.raises(FederationError, match="damaged or of another version"):
        read_round(tmp_path)


def test_guarantees_are_shown_as_what_the_sites_state_and_whose_is_missing_is_named():
    shared = (
        Shared("north", distilled(), (), GUARANTEE),
        Shared("south", distilled(), ()),
    )
    html = unescape(render(round_page(result(), shared, "round")).decode())
    assert "the site states" in html
    assert "nothing in a bundle lets anybody check them" in html
    for cell in ("7.998", "1e-05", "class-means/1", "dp-accounting-pld/0.6.0"):
        assert f"<td>{cell}</td>" in html
    assert "No guarantee is stated by: south." in html
    assert "outside the guarantee that the hospital states: north." in html
    assert "Not attacked before they left: south" in html


def test_a_round_without_guarantees_says_nothing_of_them():
    html = unescape(render(round_page(result(), (Shared("a", distilled(), ()),), "r")).decode())
    assert "the site states" not in html
