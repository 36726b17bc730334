"""What would leave the hospital, for the approver: a self-contained HTML page, and plain text.

No scripts, nothing loaded from elsewhere. Everything from outside gdshare is escaped.
"""

import base64
import hashlib
import io
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from gdshare.bundle.guarantee import OUTSIDE, Guarantee
from gdshare.distill.score_record import ScoreRecord
from gdshare.distilled import Distilled
from gdshare.protocol import CLASSES
from gdshare.release import Policy, Prepared
from gdshare.release.prepared import PAGE, TEXT
from gdshare.release.rules import Finding, findings
from gdshare.report.attack_bars import STYLE, attack_bars

SIDE = 384
"""Of an image on the page, px."""
GRAY_PERCENTILES = (1.0, 99.0)
"""Of an image's values, shown as black and white, so that an outlier does not hide the rest."""
OUTLIER = 10.0
"""Deviations from the median beyond which a value is reported."""

_STYLE = """\
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: #111; background: #fff; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #999; text-align: left; }
code, pre { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top; }
figcaption { max-width: 384px; }
.pair { display: flex; flex-wrap: wrap; }
img { width: 384px; max-width: 100%; image-rendering: pixelated; border: 1px solid #666; }
.no { background: #b00020; color: #fff; }
.yes { background: #0b6b2b; color: #fff; }
span.no, span.yes { padding: 0 .4rem; white-space: nowrap; }
.verdict { padding: .5rem 1rem; font-size: 1.25rem; font-weight: 600; }
.inside { border: 2px solid #b00020; padding: .5rem 1rem; }
.copy { user-select: all; background: #eee; padding: .5rem; }
"""


def release_pages(prepared: Prepared, policy: Policy) -> dict[str, bytes]:
    """Render both pages, by file name. Deterministic."""
    results = findings(policy, prepared.manifest)
    return {
        PAGE: _page(prepared, policy, results).encode(),
        TEXT: _text(prepared, policy, results).encode(),
    }


def _page(prepared: Prepared, policy: Policy, results: tuple[Finding, ...]) -> str:
    name = escape(prepared.manifest.name)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{name}: what would leave</title><style>{_STYLE}{STYLE}</style></head><body>",
        f"<h1>{name}: what would leave</h1>",
        _verdict_banner(results, policy),
        f'<p class="inside">{_STAYS_INSIDE}</p>' if prepared.nearest is not None else "",
        f"<p>Digest of all: <code>{prepared.digest}</code></p>",
        _next_step(prepared, policy) if _allowed(results) else "",
        "<h2>Policy</h2>",
        _table(("rule", "allowed", "actual", ""), [_finding_row(result) for result in results]),
        *_protection(prepared, policy),
        "<h2>What the images teach</h2>",
        f"<p>{_score_badge(prepared.score)} {escape(_score_text(prepared))}</p>",
        "<h2>Terms of use</h2>",
        _table(("", ""), [[escape(name), escape(value)] for name, value in _terms(prepared)]),
        "<h2>The images, enlarged</h2>",
        "<p>The gray scale covers the middle 98% of each image's values. Check whether any image "
        f"resembles a film. {_beside(prepared)}</p>",
        "".join(_figures(prepared, number) for number in _numbers(prepared.distilled)),
        f"<p>Learning rates, in order: {escape(_rates(prepared.distilled))}.</p>",
        "<h2>The files</h2>",
        "<p>These and a signature over them leave, and nothing else.</p>",
        _table(("file", "bytes", "SHA-256"), [_file_row(*entry) for entry in _files(prepared)]),
        "<h2>All numbers except the images</h2>",
        f"<pre>{escape(prepared.files['gdshare.json'].decode())}</pre>",
        "<h2>The datasheet</h2>",
        f"<pre>{escape(prepared.files['README.md'].decode())}</pre>",
        "<h2>What is not included</h2>",
        f"<p>{_not_included(prepared)}</p>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


_NOT_INCLUDED = "No film; no patient's name, number or date; no name of a file or folder; no seed; "
_AS_ATTACKED = (
    "no value of a single patient, except the distance of the nearest patch if that attack was "
    "run. What the images may still reveal is known only as far as attacks have tested it: that "
    "they resemble nobody proves nothing."
)
_AS_GUARANTEED = (
    "no value of a single patient, and no figure of an attack. What the images may still reveal of "
    "one training patient is bounded by the guarantee; what holds for all of them alike is not."
)
TAKEN_FROM = (
    "gdshare took these figures from the privacy.json that the run wrote. Receivers cannot check "
    "them: they read that this hospital states them, and its signature stands for it. The counts "
    "of patients and patches are noisy, and part of the guarantee."
)


def _not_included(prepared: Prepared) -> str:
    guaranteed = prepared.manifest.privacy is not None
    return _NOT_INCLUDED + (_AS_GUARANTEED if guaranteed else _AS_ATTACKED)


def _protection(prepared: Prepared, policy: Policy) -> list[str]:
    """What protects patients: a guarantee, or what attacks find."""
    stated = prepared.manifest.privacy
    if stated is not None:
        return [
            "<h2>What is guaranteed</h2>",
            *(f"<p>{escape(said)}</p>" for said in _guarantee_text(stated)),
        ]
    return [
        "<h2>What attacks find</h2>",
        "<p>The longer the bar, the more an attack finds out; the thin line is its 95% interval, "
        "the mark across the policy's limit, which the interval's upper end must keep.</p>",
        attack_bars(prepared.manifest.attacks, policy),
        *(f"<p>{escape(said)}</p>" for said in auditor(prepared, policy)),
    ]


def auditor(prepared: Prepared, policy: Policy) -> tuple[str, ...]:
    """Whose word the figures of attacks are; nothing where there are none."""
    if not prepared.manifest.attacks:
        return ()
    if prepared.audit is None:
        return ("Nobody signed the audit: its figures are the word of whoever ran it.",)
    signer = prepared.audit.signer
    whose = "an approver's" if signer in policy.release.approvers else "no approver's"
    return (f"The audit is signed with the key {signer}, which is {whose} of this policy.",)


def _guarantee_text(stated: Guarantee) -> tuple[str, ...]:
    return (
        f"{stated.text}. {stated.meaning} By {stated.mechanism}; {stated.accountant} counted ε. "
        "Both figures are rounded up.",
        OUTSIDE,
        TAKEN_FROM,
    )


_STAYS_INSIDE = (
    "This page stays in the hospital: beside each image it shows a part of a patient's film."
)


def _beside(prepared: Prepared) -> str:
    if prepared.nearest is None:
        return "After gdshare audit, the training patch nearest to each image stands beside it."
    return (
        "Beside each is the patch of a training patient that correlates most with it, inverted "
        "copies included; 1 is a copy. It does not leave."
    )


def _text(prepared: Prepared, policy: Policy, results: tuple[Finding, ...]) -> str:
    rules = [
        f"{'ok ' if result.passed else 'NO '} {result.what}: {result.actual} ({result.required})"
        for result in results
    ]
    files = [f"{name}  {size} bytes  {digest}" for name, size, digest in _files(prepared)]
    images = [
        f"image {number + 1}: {_label(prepared.distilled, number)}; "
        f"{_values(prepared, number)}{_outliers(prepared.distilled, number)}"
        f"{_nearest_text(prepared, number)}"
        for number in _numbers(prepared.distilled)
    ]
    terms = [f"{name}: {value}" for name, value in _terms(prepared)]
    parts = (
        f"{prepared.manifest.name}: what would leave",
        _verdict(results, policy),
        _command(prepared, policy) if _allowed(results) else "",
        "POLICY\n" + "\n".join(rules),
        _guarantee_block(prepared),
        "\n".join(auditor(prepared, policy)),
        "WHAT THE IMAGES TEACH\n" + _score_text(prepared),
        "TERMS OF USE\n" + "\n".join(terms),
        "THE IMAGES (see review.html)\n" + "\n".join(images),
        f"Learning rates, in order: {_rates(prepared.distilled)}",
        "THE FILES\n" + "\n".join(files) + f"\ndigest of all: {prepared.digest}",
        "ALL NUMBERS EXCEPT THE IMAGES\n" + prepared.files["gdshare.json"].decode(),
        "THE DATASHEET\n" + prepared.files["README.md"].decode(),
        "WHAT IS NOT INCLUDED\n" + _not_included(prepared),
    )
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _guarantee_block(prepared: Prepared) -> str:
    stated = prepared.manifest.privacy
    return "" if stated is None else "WHAT IS GUARANTEED\n" + "\n".join(_guarantee_text(stated))


def _verdict(results: tuple[Finding, ...], policy: Policy) -> str:
    approvals = policy.release.approvals
    people = "one person" if approvals == 1 else f"{approvals} people"
    needed = f" once {people} besides the signer approved it" if approvals else ""
    if _allowed(results):
        return f"The policy allows this release{needed}."
    refusal = "The policy does NOT allow this release."
    if policy.release.approvers and all(part.passed or part.overridable for part in results):
        return f"{refusal} An approver may override it: gdshare approve --despite WHY."
    return refusal


def _allowed(results: tuple[Finding, ...]) -> bool:
    return all(result.passed for result in results)


def _verdict_banner(results: tuple[Finding, ...], policy: Policy) -> str:
    kind = "yes" if _allowed(results) else "no"
    return f'<p class="verdict {kind}">{escape(_verdict(results, policy))}</p>'


def _next_step(prepared: Prepared, policy: Policy) -> str:
    """The line to copy. It names no paths: whoever approves has the folder elsewhere."""
    act = "agree" if policy.release.approvers else "release it"
    return (
        f"<p>To {act}, once you have looked at everything, with your own key and folders:</p>"
        f'<pre class="copy">{escape(_command(prepared, policy))}</pre>'
    )


def _command(prepared: Prepared, policy: Policy) -> str:
    if not policy.release.approvers:
        key = f"{prepared.manifest.site}.key"
        return f"gdshare release prepared --key {key} --outbox outbox"
    return f"gdshare approve prepared --key officer.key --outbox outbox --digest {prepared.digest}"


def _score_badge(score: ScoreRecord) -> str:
    if score.at_chance:
        return '<span class="no">NOTHING: at chance</span>'
    return '<span class="yes">better than guessing</span>'


def _score_text(prepared: Prepared) -> str:
    score = prepared.score
    at_chance = " It cannot be released without --at-chance." if score.at_chance else ""
    inits = f"{score.inits} initial weights" if score.inits > 1 else "one set of initial weights"
    tested = (
        f"on {score.windows} patches of this hospital's validation patients. The images were "
        "chosen on these patients, so it flatters."
        if prepared.manifest.privacy is None
        else f"on {score.windows} surrogates drawn from the noisy statistic, and on no patient: "
        "what they teach about films is not known from it."
    )
    return (
        f"{score.text[0].upper()}{score.text[1:]}: networks trained from these images alone, from "
        f"{inits}, {tested}{at_chance} This figure stays here."
    )


def _terms(prepared: Prepared) -> list[tuple[str, str]]:
    manifest = prepared.manifest
    terms = manifest.terms
    return [
        ("purpose", terms.purpose),
        ("recipients", terms.whom),
        ("usable until", f"{manifest.expires:%Y-%m-%d}"),
        ("copies deleted within", f"{terms.retention_days} days after that"),
    ]


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _finding_row(result: Finding) -> list[str]:
    mark = '<span class="yes">kept</span>' if result.passed else '<span class="no">NOT kept</span>'
    return [escape(result.what), escape(result.required), escape(result.actual), mark]


def _file_row(name: str, size: int, digest: str) -> list[str]:
    return [escape(name), str(size), f"<code>{digest}</code>"]


def _files(prepared: Prepared) -> list[tuple[str, int, str]]:
    return [
        (name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in sorted(prepared.files.items())
    ]


def _numbers(distilled: Distilled) -> range:
    return range(len(distilled.images))


def _figures(prepared: Prepared, number: int) -> str:
    """An image, and beside it the training patch nearest to it."""
    distilled = prepared.distilled
    caption = f"image {number + 1}: {_label(distilled, number)}{_outliers(distilled, number)}"
    image = _figure(distilled.images[number, 0], caption)
    if prepared.nearest is None:
        return image
    patch = prepared.nearest.patches[number]
    correlation = float(prepared.nearest.correlations[number])
    beside = f"nearest training patch: correlation {correlation:.3f}"
    return f'<div class="pair">{image}{_figure(patch, beside)}</div>'


def _nearest_text(prepared: Prepared, number: int) -> str:
    if prepared.nearest is None:
        return ""
    return f"; nearest training patch: correlation {prepared.nearest.correlations[number]:.3f}"


def _figure(image: npt.NDArray[np.float32], caption: str) -> str:
    low, high = np.percentile(image, GRAY_PERCENTILES)
    gray = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    tile = Image.fromarray(np.rint(gray * 255).astype(np.uint8))
    stream = io.BytesIO()
    tile.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _label(distilled: Distilled, number: int) -> str:
    shares = zip(CLASSES, distilled.labels[number], strict=True)
    return ", ".join(f"{name} {100 * float(share):.1f}%" for name, share in shares)


def _outliers(distilled: Distilled, number: int) -> str:
    """Report outliers, which no gray scale shows together with the other values."""
    image = distilled.images[number, 0].astype(np.float64)
    distance = np.abs(image - np.median(image))
    deviation = float(np.percentile(distance, 68)) or 1e-9
    count = int((distance > OUTLIER * deviation).sum())
    return f"; {count} OUTLIERS among its values" if count else ""


def _values(prepared: Prepared, number: int) -> str:
    image = prepared.distilled.images[number]
    return f"values from {image.min():.3g} to {image.max():.3g}, mean {image.mean():.3g}"


def _rates(distilled: Distilled) -> str:
    return ", ".join(f"{float(rate):.4g}" for rate in distilled.learning_rates)
