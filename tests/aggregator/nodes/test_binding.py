"""The file that says whose a node is."""

import json
from datetime import UTC, datetime

import pytest

from aggregator.nodes import site_names
from aggregator.nodes.binding import Binding, BoundNode, changing, nodes_beside, read_binding
from gdshare.errors import TrustError

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
LARGE = 2**64 - 1


def node(number, site, key="a"):
    return BoundNode(node=str(number), site=site, fingerprint=key * 64, since=NOW, by="Sato")


def test_nobody_bound_is_no_names(tmp_path):
    assert site_names(tmp_path / "trust") == {}


def test_numbers_of_64_bits_keep_every_digit(tmp_path):
    with changing(tmp_path / "trust") as change:
        change.write(change.binding.with_node(node(LARGE, "st-mary")))
    assert site_names(tmp_path / "trust") == {LARGE: "st-mary"}


def test_key_that_is_registered_anew_has_one_number():
    before = Binding().with_node(node(1, "st-mary")).with_node(node(2, "st-luke", "b"))
    after = before.with_node(node(3, "st-mary"))
    assert {bound.node: bound.site for bound in after.nodes} == {"2": "st-luke", "3": "st-mary"}


def test_a_hospital_may_have_two_nodes_and_lose_both(tmp_path):
    both = Binding().with_node(node(1, "st-mary")).with_node(node(2, "st-mary", "b"))
    assert len(both.of_site("st-mary")) == 2
    assert both.without(frozenset({"1", "2"})).nodes == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"nodes": [{"node": "1"}]}', json.dumps({"nodes": [{"node": 1}]}).encode()],
)
def test_damaged_file_is_refused_and_stays(tmp_path, content):
    path = nodes_beside(tmp_path / "trust")
    path.write_bytes(content)
    with pytest.raises(TrustError, match="cannot be read"):
        site_names(tmp_path / "trust")
    with pytest.raises(TrustError), changing(tmp_path / "trust"):
        pass
    assert path.read_bytes() == content


def test_site_name_that_steers_a_terminal_is_refused(tmp_path):
    good = Binding().with_node(node(1, "st-mary")).model_dump_json()
    nodes_beside(tmp_path / "trust").write_text(good.replace("st-mary", "a\\u001b[2J"))
    with pytest.raises(TrustError):
        read_binding(tmp_path / "trust")
