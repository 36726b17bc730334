"""Make the golden bundle of the present format version: ``python tests/bundle/make_golden.py``.

Run once for each version; the folder is then kept for ever, since every later version must still
read it. The private key is drawn here and goes nowhere.
"""

from pathlib import Path

from bundle_factory import distilled, manifest

from gdshare.bundle import FORMAT, build_files, new_key, public_pem, write_bundle
from gdshare.report.preview import render_preview

if __name__ == "__main__":
    folder = Path(__file__).parent / "golden" / FORMAT.replace("/", "-")
    key = new_key()
    files = build_files(manifest(), distilled(), render_preview(distilled()), key)
    write_bundle(folder, files)
    (folder / "site.pub").write_bytes(public_pem(key.public_key()))
