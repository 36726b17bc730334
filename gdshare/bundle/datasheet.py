"""``README.md``: a description for people, made from manifest and tensors and nothing else.

Deterministic, so that anybody can make it again and compare: data could be hidden in prose.
"""

from gdshare.announcement import is_shared_model
from gdshare.bundle.counts import PublishedCounts, format_count
from gdshare.bundle.guarantee import OUTSIDE, UNCHECKED, Guarantee
from gdshare.bundle.manifest import Manifest
from gdshare.distilled import Distilled
from gdshare.method import Counts
from gdshare.protocol import CLASSES
from gdshare.signing.names import format_utc

MEANING = {
    "I": "irrelevant, outside the organ",
    "N": "negative, the organ of a patient without the finding",
    "P": "positive, the organ of a patient with the finding",
}

FILES = """\
| file | what it is |
|---|---|
| `distilled.safetensors` | the images, their soft labels and the learning rates, as numbers |
| `gdshare.json` | how they were made, for programs |
| `preview.png` | the images as a picture, for people |
| `croissant.json` | the same for dataset tools (MLCommons Croissant) |
| `README.md` | this page |
| `bundle.sig` | the hospital's signature over the five files above |
"""

LIMITS = """\
## What this is for, and what it is not

The images are computed, starting from random noise; none is a copy of an X-ray. They are training
material: a network trained on them learns to tell the three classes of patches apart. They are no
pictures to diagnose from, and no medical device.

Not looking like anybody is not a proof that nothing about anybody can be found out, and no attack
finding anything is none either. They carry no guarantee of differential privacy. Treat them under
the agreement between the hospitals they were made for, and delete them when that ends.

What is not inside: names, numbers or dates of patients, names of files or folders, any value that
belongs to one patient (but how near the nearest patch of any comes to an image, where that was
tried), and the seed of the run.
"""

LIMITS_OF_A_GUARANTEE = """\
## What this is for, and what it is not

The images are computed, starting from random noise; none is a copy of an X-ray. They are training
material: a network trained on them learns to tell the three classes of patches apart. They are no
pictures to diagnose from, and no medical device.

A guarantee bounds what anybody can find out about one patient; it does not say that nothing can be
found out, and it says nothing of what holds for all patients alike. Treat them under the agreement
between the hospitals they were made for, and delete them when that ends.

What is not inside: names, numbers or dates of patients, names of files or folders, any value that
belongs to one patient, and the seed of the run.
"""

CHECKING = """\
## Checking that it is genuine

    gdshare verify FOLDER --key SITE.pub

with the public key that the hospital gave you on another way than this bundle. The format's
description (`docs/bundle-format.md` of gdshare) has a recipe that needs only openssl, sha256sum,
jq and base64.
"""


def datasheet(manifest: Manifest, distilled: Distilled) -> str:
    """Write the page.

    Args:
        manifest: what the bundle says about itself.
        distilled: labels float32 [M, 3] and learning rates float32 [steps] are shown.

    Returns:
        Markdown in English; equal arguments give equal text.
    """
    parts = (
        _opening(manifest),
        _labels(distilled),
        _data(manifest),
        _making(manifest, distilled),
        _terms(manifest),
        _attacks(manifest) if manifest.privacy is None else _privacy(manifest.privacy),
        LIMITS if manifest.privacy is None else LIMITS_OF_A_GUARANTEE,
        "## The files\n\n" + FILES,
        CHECKING,
    )
    return "\n".join(parts)


def _opening(manifest: Manifest) -> str:
    side = manifest.protocol.side
    return (
        f"# Distilled X-ray patches from {manifest.site}, bundle {manifest.sequence}\n\n"
        f"{manifest.method.images} small images ({side} x {side} px) that were computed so that a "
        f"network trained on them learns what {manifest.site}'s X-rays teach. "
        "They stand in for the X-rays, which stay at the hospital.\n\n"
        f"Made {format_utc(manifest.created)} (rounded down to the hour), "
        f"to be used until {format_utc(manifest.expires)}. Format {manifest.format}.\n"
    )


def _terms(manifest: Manifest) -> str:
    terms = manifest.terms
    return (
        "## On what terms\n\n"
        f"For {terms.purpose}. To be used by {terms.whom}, until {format_utc(manifest.expires)}; "
        f"every copy to be deleted within {terms.retention_days} days after that. These are the "
        "hospital's terms; nothing in the files enforces them.\n"
    )


def _attacks(manifest: Manifest) -> str:
    opening = "## What was tried on them, and what came out\n\n"
    if not manifest.attacks:
        return f"{opening}No attack on these images was tried before they left.\n"
    rows = [
        f"| {attack.name} | {attack.figure:.3f} | {attack.low:.3f} to {attack.high:.3f} | "
        f"{attack.unrelated:.3f} |"
        for attack in manifest.attacks
    ]
    head = ["| attack | figure | 95% interval | where nothing is known |", "|---|---|---|---|"]
    return (
        f"{opening}By the hospital, on its own patients; the more an attack finds out, the higher "
        "its figure.\n\n" + "\n".join([*head, *rows, ""])
    )


def _privacy(stated: Guarantee) -> str:
    return (
        "## What is guaranteed to each patient, as the hospital states it\n\n"
        f"{stated.text}. {stated.meaning} Cohorts are neighbours if "
        "one training patient is added or removed. The mechanism is "
        f"`{stated.mechanism}`: the patients were read once, as a noisy statistic, and images, "
        "labels, rates and counts follow from that and from public numbers. "
        f"`{stated.accountant}` counted ε; both figures are rounded up.\n\n"
        f"{OUTSIDE}\n\n{UNCHECKED} Figures of attacks are not given: they would be read off "
        "patients, outside the guarantee.\n"
    )


def _labels(distilled: Distilled) -> str:
    rows = [
        f"| {number} | " + " | ".join(f"{100 * float(share):.1f} %" for share in label) + " |"
        for number, label in enumerate(distilled.labels, start=1)
    ]
    header = "| image | " + " | ".join(CLASSES) + " |"
    rule = "|---|" + "---|" * len(CLASSES)
    meanings = [f"- {letter}: {MEANING[letter]}" for letter in CLASSES]
    opening = "## The images\n\nEach image stands for a mixture of three classes:\n"
    return "\n".join([opening, *meanings, "", header, rule, *rows, ""])


def _data(manifest: Manifest) -> str:
    counts, protocol = manifest.counts, manifest.protocol
    texts = {name: format_count(getattr(counts, name), counts) for name in Counts.model_fields}
    origin = {
        "protocol": "agreed for all hospitals",
        "site": "computed over this hospital's own patches",
    }[protocol.normalisation]
    pixels = "" if protocol.resample_mm is None else f", at {protocol.resample_mm:g} mm a pixel,"
    tone = (
        ""
        if protocol.tone == "none"
        else f" Each film's gray levels were harmonised by themselves first (`{protocol.tone}`)."
    )
    noisy = (
        " Counts carry the noise of the guarantee below: they are estimates, of patches the noisy "
        "number of patients times the windows that were looked at in each."
        if counts.noisy
        else ""
    )
    return (
        "## What it was made from\n\n"
        f"Training patients: {_patients(counts)}. Training patches: {texts['patches_i']} I, "
        f"{texts['patches_n']} N, {texts['patches_p']} P.{noisy}\n\n"
        f"Patches are windows of {protocol.patch} x {protocol.patch} px cut every "
        f"{protocol.stride} px{pixels} and brought to {protocol.side} x {protocol.side} px. A "
        f"window with less than {protocol.outside:.2%} organ is I, with more than "
        f"{protocol.inside:.2%} N or P; the rest is left out. Pixels, from 0 to 1, are normalised "
        f"with mean {protocol.mean} and standard deviation {protocol.std}, {origin}.{tone}\n"
    )


def _origin(theta0_sha256: str, number: int) -> str:
    if is_shared_model(theta0_sha256, number):
        return "the weights of a model that an aggregator shared"
    return f"number {number}"


def _steps(manifest: Manifest) -> str:
    if manifest.privacy is None:
        return f"training steps with {manifest.method.batch} real patches each"
    return "training steps towards a noisy statistic of the patients, without any real patch"


def _patients(counts: PublishedCounts) -> str:
    negative = format_count(counts.patients_negative, counts)
    positive = format_count(counts.patients_positive, counts)
    parts = f"{negative} without the finding, {positive} with it"
    if counts.patients is None or counts.noisy:
        return parts
    return f"{counts.patients} ({parts})"


def _making(manifest: Manifest, distilled: Distilled) -> str:
    method = manifest.method
    rates = ", ".join(f"{float(rate):.4g}" for rate in distilled.learning_rates)
    weights = manifest.theta0_sha256
    sets = (
        f" The images are {method.sets} sets in order; step t, counted from 0, uses set t mod "
        f"{method.sets}."
        if method.sets > 1
        else ""
    )
    trained = {"all": "all weights", "head": "the last layer alone, from zeros"}[method.train]
    named = f" (SHA-256 `{weights}`, {_origin(weights, method.theta0_number)})" if weights else ""
    return (
        "## How it was made\n\n"
        "By dataset distillation after Li, Togo, Ogawa and Haseyama (ICIP 2020), with "
        f"{method.labels} labels. Network {method.network}, starting weights "
        f"{manifest.starting_weights}{named} by the scheme {manifest.initialiser}; {method.epochs} "
        f"x {method.steps} gradient steps on the images train {trained}; {method.outer_steps} "
        f"{_steps(manifest)}.{sets}\n\n"
        f"Learning rates to use with the images, in order: {rates}.\n"
    )
