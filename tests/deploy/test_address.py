"""HOST:PORT, and what is none."""

import pytest

from gdshare.deploy.address import parse_address
from gdshare.errors import UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hub.example:8443", ("hub.example", 8443)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_address_is_taken_apart(text, parts):
    assert parse_address(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        *(":local:", "", "ours"),  # for the first, Flower starts a SuperLink of its own
        *("hub.example", ":1", "https://hub.example:1", "a b:1", "::1:1"),
        *("a:0", "a:65536", "a:1\n", "a:١"),
    ],
)
def test_what_is_no_address_is_refused_by_its_option(text):
    with pytest.raises(UsageError, match="--superlink"):
        parse_address(text, "--superlink")
