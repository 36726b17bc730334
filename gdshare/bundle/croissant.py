"""``croissant.json``: a description for dataset tools, made from manifest and tensors alone.

Source: MLCommons Croissant Format Specification 1.0, and its RAI vocabulary 1.0. Only the soft
labels are a record set, written out: no Croissant tool reads safetensors.
"""

import hashlib

from pydantic import JsonValue

from gdshare.bundle.counts import format_count
from gdshare.bundle.guarantee import OUTSIDE, UNCHECKED
from gdshare.bundle.layout import TENSORS
from gdshare.bundle.manifest import Manifest
from gdshare.distilled import Distilled
from gdshare.protocol import CLASSES
from gdshare.signing import canonical
from gdshare.signing.names import format_utc

CONFORMS: JsonValue = [
    "http://mlcommons.org/croissant/1.0",
    "http://mlcommons.org/croissant/RAI/1.0",
]

_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: JsonValue = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The vocabulary, which the specification wants in every file."""

LABELS = "soft-labels"


def croissant(manifest: Manifest, distilled: Distilled) -> bytes:
    """Write the file.

    Args:
        manifest: what the bundle says about itself.
        distilled: its tensors.

    Returns:
        JSON in its one form (canonical.pretty); equal arguments give equal bytes.
    """
    tensors = distilled.to_bytes()
    return canonical.pretty(
        {
            "@context": CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": CONFORMS,
            "name": manifest.name,
            "version": f"{manifest.sequence}.0.0",
            "description": _description(manifest),
            "license": _licence(manifest),
            "creator": {"@type": "sc:Organization", "name": manifest.site},
            "datePublished": format_utc(manifest.created),
            "citeAs": "Method: Li, Togo, Ogawa, Haseyama, ICIP 2020",
            "rai:personalSensitiveInformation": _sensitive(manifest),
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": TENSORS,
                    "name": TENSORS,
                    "description": "images, labels and learning_rates, float32, as safetensors",
                    "contentUrl": TENSORS,
                    "contentSize": f"{len(tensors)} B",
                    "encodingFormat": "application/octet-stream",
                    "sha256": hashlib.sha256(tensors).hexdigest(),
                }
            ],
            "recordSet": [_labels(distilled)],
        }
    )


def _description(manifest: Manifest) -> str:
    side = manifest.protocol.side
    return (
        f"{manifest.method.images} images of {side} x {side} px, computed so that a network "
        f"trained on them learns what {manifest.site}'s X-rays teach, with soft labels over "
        f"{', '.join(CLASSES)} and learning rates. See README.md beside this file."
    )


def _licence(manifest: Manifest) -> str:
    terms, end = manifest.terms, format_utc(manifest.expires)
    return (
        f"Not open. For {terms.purpose}, by {terms.whom}, until {end}; every copy to be deleted "
        f"within {terms.retention_days} days after that."
    )


def _sensitive(manifest: Manifest) -> str:
    counts = manifest.counts
    negative = format_count(counts.patients_negative, counts)
    positive = format_count(counts.patients_positive, counts)
    made = f"Computed from X-rays of {negative} patients without and {positive} with the finding. "
    if manifest.privacy is not None:
        return (
            f"{made}The hospital states {manifest.privacy.text}, by {manifest.privacy.mechanism}. "
            f"{OUTSIDE} {UNCHECKED}"
        )
    tried = ", ".join(f"{attack.name} {attack.text}" for attack in manifest.attacks) or "none"
    return f"{made}Attacks tried before they left: {tried}. No differential privacy is claimed."


def _labels(distilled: Distilled) -> dict[str, JsonValue]:
    fields = [("image", "sc:Integer", "number of the image, from 1")] + [
        (name, "sc:Float", f"its share of class {name}") for name in CLASSES
    ]
    rows: list[JsonValue] = [
        {
            f"{LABELS}/image": number,
            **{
                f"{LABELS}/{name}": float(share) for name, share in zip(CLASSES, label, strict=True)
            },
        }
        for number, label in enumerate(distilled.labels, start=1)
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": LABELS,
        "name": LABELS,
        "description": "the soft label of each image",
        "key": {"@id": f"{LABELS}/image"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{LABELS}/{name}",
                "name": name,
                "description": description,
                "dataType": kind,
            }
            for name, kind, description in fields
        ],
        "data": rows,
    }
