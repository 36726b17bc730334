"""North's node, which trusts two other hospitals, and models that it is asked to count with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from grid_kit import ask_node
from site_kit import NOW, PROTOCOL, make_bundle, write_files

from gdshare.ledger import open_ledger
from gdshare.messages import CountRequest, Recipe, RecipeBundle
from gdshare.signing import fingerprint, new_key, public_pem

KEYS = {site: new_key() for site in ("east", "north", "west")}
OWN, OTHER = (make_bundle(site, KEYS[site]) for site in ("north", "east"))


def norths_settings(folder: Path, cohort: Path) -> dict[str, object]:
    """Of a node that has released ``OWN`` and has all three keys on its list."""
    (folder / "peers").mkdir()
    for site, key in KEYS.items():
        (folder / "peers" / f"{site}.pub").write_bytes(public_pem(key.public_key()))
    write_files(folder / "outbox" / "north-1", OWN)
    return {
        "outbox": str(folder / "outbox"),
        "state": str(folder / "state"),
        "cohort": str(cohort),
        "trust": str(folder / "peers"),
        "minimum-films": 4,
        "suppress-below": 1,
    }


def of_east(folder: Path, act: str, why: str) -> None:
    """A line about east's key in the ledger of north's list."""
    key = fingerprint(KEYS["east"].public_key())
    with open_ledger(folder / "peers-ledger.jsonl") as ledger:
        ledger.write(NOW, act, "an operator", "east", key, why)


def request(*bundles: RecipeBundle, **changes: object) -> CountRequest:
    recipe = Recipe("average", 7, 2, bundles)
    return replace(CountRequest("convnet", PROTOCOL, recipe), **changes)  # type: ignore[arg-type]


def asked(settings: Mapping[str, object], wish: CountRequest | Mapping[str, object]) -> object:
    """The reason of a refusal, else the answer."""
    fields = wish.to_fields() if isinstance(wish, CountRequest) else wish
    answer = ask_node(settings, "evaluate.counts", fields)
    return answer.get("refused", answer)
