"""What would leave the hospital, for whoever approves it: one self-contained page, and as text.

No script, nothing loaded from elsewhere. Whatever came from outside gdshare is escaped.
"""

import base64
import hashlib
import io
from html import escape

import numpy as np
from PIL import Image

from gdshare.distilled import Distilled
from gdshare.protocol import CLASSES
from gdshare.release import Policy, Prepared
from gdshare.release.prepared import PAGE, TEXT
from gdshare.release.rules import Finding, findings

SIDE = 384
"""Of an image on the page, px."""
SHOWN = (1.0, 99.0)
"""Percentiles of an image's values between which gray runs: one odd pixel hides nothing."""
FAR = 10.0
"""Deviations from the mean beyond which a value is told of."""

_STYLE = """\
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: #111; background: #fff; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #999; text-align: left; }
code, pre { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
img { width: 384px; image-rendering: pixelated; border: 1px solid #666; }
.no { background: #b00020; color: #fff; padding: 0 .4rem; }
.yes { background: #0b6b2b; color: #fff; padding: 0 .4rem; }
"""


def release_pages(prepared: Prepared, policy: Policy) -> dict[str, bytes]:
    """Write both; returns them by their file names. Equal arguments give equal bytes."""
    told = findings(policy, prepared.manifest)
    return {
        PAGE: _page(prepared, policy, told).encode(),
        TEXT: _text(prepared, policy, told).encode(),
    }


def _page(prepared: Prepared, policy: Policy, told: tuple[Finding, ...]) -> str:
    name = escape(prepared.manifest.name)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{name}: what would leave</title><style>{_STYLE}</style></head><body>",
        f"<h1>{name}: what would leave</h1>",
        f"<p>{escape(_verdict(told, policy))}</p>",
        f"<p>Digest of all: <code>{prepared.digest}</code></p>",
        "<h2>What the policy says</h2>",
        _table(("rule", "wanted", "found", ""), [_row(one) for one in told]),
        "<h2>On what terms</h2>",
        _table(("", ""), [[escape(name), escape(told)] for name, told in _terms(prepared)]),
        "<h2>The images, enlarged</h2>",
        "<p>Gray runs over the middle 98% of each image's values. Look whether one resembles a "
        "film.</p>",
        "".join(_figure(prepared.distilled, number) for number in _numbers(prepared.distilled)),
        f"<p>Learning rates, in order: {escape(_rates(prepared.distilled))}.</p>",
        "<h2>The files</h2>",
        "<p>These, a signature over them, and nothing else.</p>",
        _table(("file", "bytes", "SHA-256"), [_cells(one) for one in _files(prepared)]),
        "<h2>Every number but those of the images</h2>",
        f"<pre>{escape(prepared.files['gdshare.json'].decode())}</pre>",
        "<h2>The datasheet that goes with it</h2>",
        f"<pre>{escape(prepared.files['README.md'].decode())}</pre>",
        "<h2>What is not inside</h2>",
        f"<p>{_NOT_INSIDE}</p>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


_NOT_INSIDE = (
    "No film, no name, number or date of a patient, no name of a file or folder, no value that "
    "belongs to one patient but how near the nearest patch comes, where that was tried, no seed. "
    "What the images give away all the same is only as well known as attacks have tried: that they "
    "resemble nobody proves nothing."
)


def _text(prepared: Prepared, policy: Policy, told: tuple[Finding, ...]) -> str:
    rules = [
        f"{'ok ' if one.passed else 'NO '} {one.what}: {one.found} ({one.wanted})" for one in told
    ]
    files = [f"{name}  {size} bytes  {digest}" for name, size, digest in _files(prepared)]
    images = [
        f"image {number + 1}: {_label(prepared.distilled, number)}; "
        f"{_values(prepared, number)}{_odd(prepared.distilled, number)}"
        for number in _numbers(prepared.distilled)
    ]
    terms = [f"{name}: {what}" for name, what in _terms(prepared)]
    parts = (
        f"{prepared.manifest.name}: what would leave",
        _verdict(told, policy),
        "WHAT THE POLICY SAYS\n" + "\n".join(rules),
        "ON WHAT TERMS\n" + "\n".join(terms),
        "THE IMAGES (to be looked at on review.html)\n" + "\n".join(images),
        f"Learning rates, in order: {_rates(prepared.distilled)}",
        "THE FILES\n" + "\n".join(files) + f"\ndigest of all: {prepared.digest}",
        "EVERY NUMBER BUT THOSE OF THE IMAGES\n" + prepared.files["gdshare.json"].decode(),
        "THE DATASHEET THAT GOES WITH IT\n" + prepared.files["README.md"].decode(),
        "WHAT IS NOT INSIDE\n" + _NOT_INSIDE,
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _verdict(told: tuple[Finding, ...], policy: Policy) -> str:
    people = policy.release.approvals
    needed = f" It takes {people} approvals besides the one who signs." if people else ""
    if all(one.passed for one in told):
        return f"The policy would let it out.{needed}"
    return "The policy does NOT let it out."


def _terms(prepared: Prepared) -> list[tuple[str, str]]:
    manifest = prepared.manifest
    terms = manifest.terms
    return [
        ("purpose", terms.purpose),
        ("recipients", terms.whom),
        ("to be used until", f"{manifest.expires:%Y-%m-%d}"),
        ("copies deleted within", f"{terms.retention_days} days after that"),
    ]


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    top = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _row(one: Finding) -> list[str]:
    mark = '<span class="yes">kept</span>' if one.passed else '<span class="no">NOT kept</span>'
    return [escape(one.what), escape(one.wanted), escape(one.found), mark]


def _cells(one: tuple[str, int, str]) -> list[str]:
    name, size, digest = one
    return [escape(name), str(size), f"<code>{digest}</code>"]


def _files(prepared: Prepared) -> list[tuple[str, int, str]]:
    return [
        (name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in sorted(prepared.files.items())
    ]


def _numbers(distilled: Distilled) -> range:
    return range(len(distilled.images))


def _figure(distilled: Distilled, number: int) -> str:
    image = distilled.images[number, 0]
    low, high = np.percentile(image, SHOWN)
    gray = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    tile = Image.fromarray(np.rint(gray * 255).astype(np.uint8))
    stream = io.BytesIO()
    tile.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    told = escape(f"image {number + 1}: {_label(distilled, number)}{_odd(distilled, number)}")
    return (
        f'<figure><img alt="{told}" src="data:image/png;base64,{data}">'
        f"<figcaption>{told}</figcaption></figure>"
    )


def _label(distilled: Distilled, number: int) -> str:
    shares = zip(CLASSES, distilled.labels[number], strict=True)
    return ", ".join(f"{name} {100 * float(share):.1f}%" for name, share in shares)


def _odd(distilled: Distilled, number: int) -> str:
    """Values far from the others, which no gray scale shows together with them."""
    image = distilled.images[number, 0].astype(np.float64)
    middle = float(np.median(image))
    spread = float(np.percentile(np.abs(image - middle), 68)) or 1e-9
    count = int((np.abs(image - middle) > FAR * spread).sum())
    return f"; {count} of its values lie FAR from the others" if count else ""


def _values(prepared: Prepared, number: int) -> str:
    image = prepared.distilled.images[number]
    return f"values from {image.min():.3g} to {image.max():.3g}, mean {image.mean():.3g}"


def _rates(distilled: Distilled) -> str:
    return ", ".join(f"{float(rate):.4g}" for rate in distilled.learning_rates)
