"""``gdshare nodes list``: every node by its hospital's name."""

from collections.abc import Sequence

from aggregator.flower.cli import ListedNode
from aggregator.nodes.binding import BoundNode, read_binding
from aggregator.nodes.commands.options import CA, RootCertificates, SuperLink, flower
from aggregator.trust.commands.options import TrustFolder
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.extras import require_extra

UNKNOWN = "unknown to the SuperLink"
COLUMNS = ("site", "node", "status", "since", "bound by")


def show(
    superlink: SuperLink,
    trust: TrustFolder,
    root_certificates: RootCertificates = CA,
    as_json: AsJson = False,
) -> None:
    """List the nodes: whose they are, and whether they are connected, since when."""
    require_extra("federation")
    with flower(superlink, root_certificates) as cli:
        rows = _rows(cli.nodes(), read_binding(trust).nodes)
    if as_json:
        return print_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    cells = [["-" if cell is None else cell for cell in row] for row in rows]
    print_table(f"{superlink}: {len(rows)} nodes", COLUMNS, cells)
    return None


def _rows(
    listed: Sequence[ListedNode], bound: Sequence[BoundNode]
) -> list[tuple[str | None, str, str, str | None, str | None]]:
    """Site, number, status, since, and who bound it; bound nodes first, by site."""
    known = {str(node.number): node for node in listed}
    rows: list[tuple[str | None, str, str, str | None, str | None]] = []
    for node in sorted(bound, key=lambda node: node.site):
        entry = known.pop(node.node, None)
        status, since = (entry.status, _since(entry)) if entry else (UNKNOWN, None)
        rows.append((node.site, node.node, status, since, node.by))
    rows += [(None, number, node.status, _since(node), None) for number, node in known.items()]
    return rows


def _since(node: ListedNode) -> str | None:
    since = node.online_at if node.status == "online" else node.offline_at
    return None if since == "N/A" else since
