"""Distilling numpy arrays of any classes.

::

    images = gdshare.distil(train_images, train_labels, validation=(val_images, val_labels))
    model = gdshare.train(images)
    gdshare.predict(model, test_images)  # names of classes

The method is that of ``gdshare distill``, with its defaults: three classes from arrays give the
numbers that they give from a cohort, bit for bit. A bundle has the classes I, N and P, and so
images of other classes cannot become one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from gdshare.distill.in_memory import distil_in_memory
from gdshare.distill.precision import with_precision
from gdshare.distill.problem import prepare_patches
from gdshare.distill.score_record import tensors_digest
from gdshare.errors import UsageError
from gdshare.library.images import DistilledImages
from gdshare.library.patches import as_names, as_patches, as_pixels, class_names
from gdshare.library.runs import with_seed
from gdshare.method import Settings
from gdshare.networks import INITIALISERS
from gdshare.protocol import Protocol
from gdshare.seeding import numpy_generator

Names = npt.NDArray[Any]
Validation = tuple[npt.NDArray[Any], npt.ArrayLike] | float
"""Patches and their labels; or the share of the groups that is kept for validation."""


def distil(
    images: npt.NDArray[Any],
    labels: npt.ArrayLike,
    *,
    validation: Validation,
    groups: npt.ArrayLike | None = None,
    settings: Settings | None = None,
    protocol: Protocol | None = None,
    name: str | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DistilledImages:
    """Distil labelled gray patches into a few images with soft labels and learning rates.

    Args:
        images: [n, side, side]; uint8, uint16, or floats in [0, 1]. The default network takes sides
            from 8 px that are a multiple of 4.
        labels: [n]; integers, booleans or text, 2 to 255 distinct ones. Their text is the classes'
            names.
        validation: patches and labels of other patients, on which the result is chosen and scored;
            or a share, above 0 and below 1, of the ``groups``.
        groups: [n], the patient of each patch; integers or text. A share needs them: patches of a
            patient must not be on both sides. Pooling weighs by their number, or without them by
            the number of patches.
        settings: None: the defaults. If not set: as many images as classes, and a seed that nobody
            can guess. With equal seeds results are equal, on one machine with one thread count.
        protocol: of the patches, if they were cut from films and are labelled I, N and P: then a
            model trained on the result classifies films. None: side as given, mean 0.5, std 0.25.
        name: of the data, for messages and in pooling; None: one made of the result's digest.
        device: torch's name of where to compute.
        progress: called with (training steps done, in all).

    Returns:
        the state of best score, which is flattering where the default network chose it by the same
        patches; keep test patches for a verdict.

    Raises:
        UsageError: arrays, classes or settings that cannot be honoured.
        LostError: the training came apart.
    """
    pixels = as_pixels(images)
    own = as_names(labels, len(pixels), "labels")
    classes = class_names(own)
    patients = None if groups is None else as_names(groups, len(pixels), "groups")
    chosen = _settings(settings or Settings(), len(classes), device)
    if isinstance(validation, tuple):
        train = as_patches(pixels, own, classes, "training")
        val = as_patches(validation[0], validation[1], classes, "validation")
    else:
        kept = _kept(own, patients, validation, chosen.seed)
        train = as_patches(pixels[~kept], own[~kept], classes, "training")
        val = as_patches(pixels[kept], own[kept], classes, "validation")
        patients = None if patients is None else patients[~kept]
    side = train.pixels.shape[1]
    agreed = _protocol(protocol, side)
    if val.pixels.shape[1] != side:
        raise UsageError(
            f"are {val.pixels.shape[1]} px wide, and the training images {side}",
            "validation images",
            "resize them",
        )
    problem = prepare_patches(train, val, agreed, chosen, device)
    outcome = distil_in_memory(problem, lambda tick: progress(tick.step, tick.total))
    tensors = outcome.distilled
    return DistilledImages(
        name=name or f"arrays-{tensors_digest(tensors)[:12]}",
        tensors=tensors,
        classes=classes,
        protocol=agreed,
        method=chosen.method(),
        initialiser=INITIALISERS[chosen.network],
        theta0_sha256=problem.theta0_sha256,
        patients=len(train) if patients is None else len(np.unique(patients)),
        score=outcome.score.mean,
    )


def _settings(settings: Settings, classes: int, device: str) -> Settings:
    if "images" not in settings.model_fields_set:
        values = settings.model_dump(exclude_unset=True) | {"images": classes * settings.sets}
        try:
            settings = Settings(**values)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UsageError(reason, "settings", "set images too") from error
    if settings.images // settings.sets < classes and settings.sets > 1:
        raise UsageError(
            f"{settings.images} images in {settings.sets} sets leave one of {classes} classes out",
            "settings",
            f"take {settings.sets * classes} images or more",
        )
    return with_precision(with_seed(settings), device)


def _protocol(protocol: Protocol | None, side: int) -> Protocol:
    """The protocol given, or that of patches that were cut from nothing."""
    if protocol is not None:
        if protocol.side != side:
            raise UsageError(
                f"has side {protocol.side}, and the images have {side}", "protocol", "make it fit"
            )
        return protocol
    try:
        return Protocol(patch=side, stride=side, side=side)
    except ValidationError as error:
        raise UsageError(f"are {side} px wide", "images", "resize them to 8 to 512 px") from error


def _kept(labels: Names, groups: Names | None, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which patches are kept for validation: bool [n], whole groups, a share in every class."""
    if groups is None:
        raise UsageError(
            "needs the patient of each patch, or patches of one patient would be on both sides",
            f"validation={share}",
            "give groups=, or validation patches of other patients; if each patch is of another "
            "patient, groups=np.arange(n)",
        )
    if not 0 < share < 1:
        raise UsageError("is no share", f"validation={share}", "give one above 0 and below 1")
    _, classes = np.unique(labels, return_inverse=True)
    _, owners = np.unique(groups, return_inverse=True)
    table = np.zeros((owners.max() + 1, classes.max() + 1), np.int64)  # [groups, classes]
    np.add.at(table, (owners, classes), 1)
    main = table.argmax(1)  # a group counts as of its most frequent class
    kept = np.zeros(len(table), np.bool_)
    for label in np.unique(main):
        members = np.flatnonzero(main == label)
        count = max(1, round(share * len(members))) if len(members) > 1 else 0
        generator = numpy_generator(seed, "validation-groups", int(label))
        kept[generator.permutation(members)[: min(count, len(members) - 1)]] = True
    if not kept.any():
        raise UsageError(
            "leaves no patient to validate on: no class has two",
            f"validation={share}",
            "give patches of more patients",
        )
    return kept[owners]
