"""Candidates for canaries, without films."""

import numpy as np

from gdshare.audit.candidates import Candidates
from gdshare.cohort import Patches

SIDE = 16


def people(members: int, windows: int = 6, seed: int = 0, side: int = SIDE) -> Candidates:
    """So many training and four test patients, odd ones positive: half of the windows are I."""
    count = members + 4
    owners = np.repeat(np.arange(count), windows).astype(np.uint32)
    positive = np.arange(count) % 2 == 1
    labels = np.where(np.arange(len(owners)) % 2, 1 + positive[owners], 0).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(0.5, 0.1, (len(owners), side, side))
    pixels = (noise.clip(0, 1) * 65535).astype(np.uint16)
    patches = Patches(pixels, labels, owners)
    return Candidates(np.arange(count) < members, positive, patches, patches)
