"""The page of `gdshare distill`'s options has a row for each, with the default that holds."""

import re
from pathlib import Path

from gdshare.cli.distill_options import UNSET
from gdshare.method import BY_NETWORK, Settings

PAGE = Path(__file__).parents[2] / "docs" / "distill-options.md"


def rows():
    """Option -> its default as the page spells it."""
    found = {}
    section = PAGE.read_text(encoding="utf-8").split("\n## Option by option\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `--"):
            names, defaults, _ = (cell.strip() for cell in line.strip("|").split(" | ", 2))
            flags = re.findall(r"`--([a-z0-9-]+)`", names)
            found |= dict(zip(flags, defaults.replace("`", "").split(", "), strict=True))
    return found


def test_every_option_has_a_row_and_no_row_is_left_over():
    assert set(rows()) == {name.replace("_", "-") for name in Settings.model_fields}


def test_the_page_gives_the_defaults_that_hold():
    told = rows()
    for name, field in Settings.model_fields.items():
        expected = UNSET.get(name, str(field.default))
        if name in BY_NETWORK:
            expected = " / ".join(str(value) for value in BY_NETWORK[name].values())
        assert told[name.replace("_", "-")].rstrip("0").rstrip(".") == expected.rstrip("0").rstrip(
            "."
        ), name
