"""The app that a round submits to Flower: a description without code, always the same bytes.

Flower carries an app as a FAB, a zip of its files and a list of their digests. This one only names
the code that each side has installed. A hospital answers questions of the app with this digest, and
of no other (docs/adr/0030-the-node-fetches-no-app.md).
"""

import hashlib
import io
import zipfile
from typing import Final

FILE: Final = "pyproject.toml"
CONTENTS: Final = ".info/CONTENT"
FAB_DATE: Final = (2024, 10, 1, 0, 0, 0)
"""The date that Flower gives every file of a FAB."""
ON_UNIX: Final = 3

ROUND_APP: Final = """\
[project]
name = "gdshare-round"
version = "1.0"
description = "One gdshare round; runs the code installed on each machine."

[project.license]
file = "LICENSE"

[tool.flwr.app]
publisher = "gdshare"
fab-include = [
    "pyproject.toml",
]

[tool.flwr.app.components]
serverapp = "aggregator.server_app:app"
clientapp = "hospital_node.client_app:app"

[tool.flwr.app.config]
out = ""
"""
"""The only file, spelled as Flower spells it when it packs the app."""


def fab(description: str = ROUND_APP) -> bytes:
    """The FAB that Flower packs of an app that is one description and nothing else."""
    content = description.encode()
    listed = f"{FILE},{hashlib.sha256(content).hexdigest()},{len(content) * 8}"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in ((FILE, content), (CONTENTS, listed.encode())):
            entry = zipfile.ZipInfo(name, FAB_DATE)
            entry.create_system = ON_UNIX
            archive.writestr(entry, text)
    return stream.getvalue()


ROUND_APP_SHA256: Final = hashlib.sha256(fab()).hexdigest()
"""By which Flower names the app."""
