"""Make the golden bundles of a new format version: ``python tests/bundle/make_golden.py``.

Run once for each version; the folder is then kept for ever, since every later version must still
read it, and this refuses to make it again. The private key is drawn here and goes nowhere.
"""

import json
from pathlib import Path

from bundle_factory import distilled, manifest, rich_manifest
from frozen_schema import shape_of

from gdshare.bundle import Manifest, build_files, write_bundle
from gdshare.bundle.manifest import FORMATS
from gdshare.report.preview import render_preview
from gdshare.signing import new_key, public_pem

if __name__ == "__main__":
    version = FORMATS[-1]
    folder = Path(__file__).parent / "golden" / version.replace("/", "-")
    folder.mkdir(parents=True)
    key = new_key()
    for about in (manifest(version), rich_manifest(version)):
        tensors = distilled(about)
        write_bundle(folder, build_files(about, tensors, render_preview(tensors), key))
    (folder / "site.pub").write_bytes(public_pem(key.public_key()))
    shape = shape_of(Manifest.model_json_schema(mode="serialization"))
    (folder / "schema.json").write_text(
        json.dumps(shape, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
