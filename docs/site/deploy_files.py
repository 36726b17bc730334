"""Writes ``docs/deploy`` from the templates: ``python -m docs.site.deploy_files``.

The files there show what ``gdshare federation init`` and ``gdshare node init`` write by default; a
test compares them.
"""

from collections.abc import Mapping
from pathlib import Path

from aggregator.setup.place import COMPOSE, NFT, NGINX, UNIT, FederationPlace
from aggregator.setup.write import texts
from hospital_node.setup import place as node_place

FOLDER = Path(__file__).resolve().parents[1] / "deploy"


def deploy_files() -> Mapping[str, str]:
    """File name -> text."""
    federation = texts(FederationPlace(name="tokyo", host="aggregator.example"))
    superlink = "aggregator.example:8443"
    node = node_place.NodePlace(site="st-mary", superlink=superlink).texts()
    return {
        UNIT: federation[UNIT],
        NGINX: federation[NGINX],
        NFT: federation[NFT],
        "aggregator-install.sh": federation["install.sh"],
        "aggregator-compose.yaml": federation[COMPOSE],
        node_place.UNIT: node[node_place.UNIT],
        "node.toml": node[node_place.SETTINGS],
        "node-install.sh": node[node_place.INSTALL],
        "node-compose.yaml": node[node_place.COMPOSE],
    }


def main() -> None:
    """Write them."""
    for name, text in deploy_files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
