"""Annotation files as the tools write them, made from masks and vertices."""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (40, 56)
"""(height, width) of the film of all annotations here, px."""
FILM = "films/st-mary/17.png"


def rings_mask():
    """Two parts, one with a hole, the other at the film's edge."""
    mask = np.zeros(SHAPE, bool)
    mask[4:20, 6:30] = True
    mask[9:14, 12:22] = False
    mask[30:, 40:] = True
    return mask


def square(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def filled(left, top, right, bottom):
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


def write(path: Path, value) -> Path:
    """Write text or bytes as they are, anything else as JSON."""
    if not isinstance(value, str | bytes):
        value = json.dumps(value)
    path.write_bytes(value if isinstance(value, bytes) else value.encode())
    return path


def labelme(*shapes, film="..\\films\\17.png", shape=SHAPE):
    """LabelMe 5.5: every shape has flags, a group and a description."""
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            {
                "label": "stomach",
                "points": [],
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
                **fields,
            }
            for fields in shapes
        ],
        "imagePath": film,
        "imageData": base64.b64encode(b"\x89PNG the whole film").decode(),
        "imageHeight": shape[0],
        "imageWidth": shape[1],
    }


def labelme_mask(mask):
    """As LabelMe writes it: a PNG of the mask's bounding box, and its corner pixels."""
    rows, columns = np.nonzero(mask)
    top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
    stream = io.BytesIO()
    Image.fromarray(mask[top : bottom + 1, left : right + 1]).save(stream, format="PNG")
    return {
        "shape_type": "mask",
        "points": [[float(left), float(top)], [float(right), float(bottom)]],
        "mask": base64.b64encode(stream.getvalue()).decode(),
    }


def runs(flat):
    """Lengths of outside, inside, outside, ...; the first may be 0."""
    flat = np.asarray(flat, bool).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    return np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()


def coco(*segmentations, film="17.png", shape=SHAPE, category=1):
    """COCO as pycocotools and CVAT write it, with a second film and an unused category."""
    images = [
        {"id": 1, "width": 9, "height": 8, "file_name": "16.png", "license": 0},
        {"id": 2, "width": shape[1], "height": shape[0], "file_name": film, "coco_url": ""},
    ]
    annotations = [
        {
            "id": number,
            "image_id": 2,
            "category_id": category,
            "segmentation": segmentation,
            "area": 12.5,
            "bbox": [0.0, 0.0, 1.0, 1.0],
            "iscrowd": int(isinstance(segmentation, dict)),
            "attributes": {"occluded": False},
        }
        for number, segmentation in enumerate(segmentations, start=1)
    ]
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": ""},
        "categories": [
            {"id": 1, "name": "stomach", "supercategory": ""},
            {"id": 2, "name": "liver", "supercategory": ""},
        ],
        "images": images,
        "annotations": annotations,
    }


def plain_rle(mask):
    return {"size": list(mask.shape), "counts": runs(mask.T.ravel())}


def cvat(*elements, film="st-mary/17.png", shape=SHAPE, more=""):
    """CVAT for images 1.1, with a shortened meta part."""
    height, width = shape
    inner = "\n    ".join(elements)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <name>stomachs</name>
      <size>1</size>
      <mode>annotation</mode>
      <labels>
        <label><name>stomach</name><color>#fa3253</color><type>any</type><attributes/></label>
      </labels>
    </task>
    <dumped>2024-05-06 07:08:09.123456+00:00</dumped>
  </meta>
  <image id="0" name="{film}" width="{width}" height="{height}">
    {inner}
  </image>{more}
</annotations>
"""


def cvat_polygon(points, label="stomach"):
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return (
        f'<polygon label="{label}" source="manual" occluded="0" points="{text}" z_order="0">\n'
        '      <attribute name="sure">yes</attribute>\n    </polygon>'
    )


def cvat_mask(mask, label="stomach"):
    rows, columns = np.nonzero(mask)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    lengths = ", ".join(map(str, runs(mask[top:bottom, left:right].ravel())))
    return (
        f'<mask label="{label}" source="semi-auto" occluded="0" rle="{lengths}" left="{left}" '
        f'top="{top}" width="{right - left}" height="{bottom - top}" z_order="0">\n    </mask>'
    )


def feature(kind, coordinates, name="stomach", **properties):
    """A feature as QuPath 0.5 exports an annotation."""
    classified = {"classification": {"name": name, "color": [200, 0, 0]}} if name else {}
    return {
        "type": "Feature",
        "id": "5a6b0f6e-8f0a-4f0e-9d3e-3c9b5f4b2a11",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {
            "objectType": "annotation",
            **classified,
            "isLocked": True,
            "measurements": {"Area px^2": float("nan")},
            **properties,
        },
    }


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def closed(points):
    return [*points, points[0]]
