"""A phantom film with its mask."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gdshare.errors import UsageError
from gdshare.films.phantom.exposure import (
    SITES,
    SiteLook,
    blur,
    collimate,
    develop,
    mark_synthetic,
)
from gdshare.films.phantom.fields import (
    Field,
    Stream,
    lattice_nodes,
    noise,
    pixel_centres,
    sample,
    stream,
)
from gdshare.films.phantom.mucosa import Organ, coating, mucosa
from gdshare.films.phantom.stomach import Stomach, draw_stomach
from gdshare.films.phantom.surroundings import surroundings

MIN_SIZE, MAX_SIZE = 128, 4096  # side of a film, px
COARSE = 768  # largest side at which the surroundings are drawn, px
TEXTURE = 0.010  # deviation of the patient's texture, in attenuation; below the noise


def patient_texture(patient: int, size: int) -> Field:
    """The faint pattern in every film of a patient: float32 [size, size].

    It stands for anatomy by which a person can be recognised. It has mean 0 and deviation about 1,
    is fixed in position on the film, and does not depend on diagnosis, site or seed.
    """
    axis = pixel_centres(size)
    return noise(stream(Stream.TEXTURE, patient), 90, axis, axis)


def phantom_film(
    patient: int, positive: bool, seed: int, size: int = 512, site: SiteLook = SITES[0]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Make a synthetic double-contrast film of a stomach, and the stomach's mask.

    Outside the mask the film is byte for byte the same for both diagnoses.

    Args:
        patient: number of the patient, at least 0; decides anatomy and texture.
        positive: whether the patient has gastritis.
        seed: number of the patient's film, at least 0; decides position, exposure and noise.
        size: side of the square film, px, 128 to 4096; the geometry does not depend on it.
        site: the look of the site's films.

    Returns:
        pixels uint8 [size, size] and mask bool [size, size]; equal arguments give equal bytes.

    Raises:
        UsageError: a negative patient or seed, or a size out of range.
    """
    if patient < 0 or seed < 0:
        raise UsageError(
            f"a phantom of patient {patient} and seed {seed} cannot be made",
            remedy="give numbers of at least 0",
        )
    require_size(size)
    position = _draw_position(patient, seed)
    rows, columns = position.grid(pixel_centres(size))
    stomach = draw_stomach(patient)
    organ = Organ.on_film(stomach, rows, columns)
    mask = organ.depth > 0
    coat = coating(patient, stomach, organ, rows, columns)
    common = _background(patient, stomach, position, size) + coat.attenuation
    common += TEXTURE * patient_texture(patient, size)
    # Blurred separately and cut off at the wall, so that no trace of the diagnosis crosses it.
    diseased = blur(mucosa(patient, positive, organ, rows, columns) * coat.clear, site) * mask
    film = collimate(develop(blur(common, site) + diseased, site, (patient, seed)), (patient, seed))
    pixels = np.clip(np.rint(film * 255), 0, 255).astype(np.uint8)
    return mark_synthetic(pixels), mask


def require_size(size: int) -> None:
    """Refuse a film too small to show folds, or too large.

    Raises:
        UsageError: not 128 to 4096 px.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(
            f"a phantom film of {size} px cannot be made", remedy=f"choose {MIN_SIZE} to {MAX_SIZE}"
        )


@dataclass(frozen=True)
class _Position:
    """The patient's position on a film: a zoom about the centre, then a shift, in film sides."""

    zoom: float
    down: float
    right: float

    def grid(self, axis: Field) -> tuple[Field, Field]:
        """Map coordinates along the film's sides to rows and columns of the anatomy."""
        centred = (axis - 0.5) * self.zoom + 0.5
        return np.float32(self.down) + centred, np.float32(self.right) + centred


def _draw_position(patient: int, seed: int) -> _Position:
    rng = stream(Stream.POSITION, patient, seed, 0)
    return _Position(
        float(rng.uniform(0.98, 1.02)),
        float(rng.uniform(-0.01, 0.01)),
        float(rng.uniform(-0.01, 0.01)),
    )


def _background(patient: int, stomach: Stomach, position: _Position, size: int) -> Field:
    """Draw the surroundings, at most at ``COARSE`` px, since they have no fine detail."""
    axis = pixel_centres(size)
    if size <= COARSE:
        return surroundings(patient, stomach, *position.grid(axis))
    coarse = surroundings(patient, stomach, *position.grid(lattice_nodes(COARSE)))
    return sample(coarse, axis, axis)
