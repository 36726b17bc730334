"""Statistics that take long, kept beside the shadows: an audit that goes on reads no set twice.

::

    RUN/audit-work/trace-3f0d9c0205dc55948e1fec97eb3d16e2.safetensors

A file is named by all that its statistics follow from, so that none of another audit is taken for
one of this. They are statistics of patients' windows and stay at the hospital, as the shadows do.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gdshare.audit.traces import STATISTICS, Reader, Trace
from gdshare.distilled import Distilled
from gdshare.plain_files import read_plain
from gdshare.storage import write_bytes

VERSION = b"gdshare-traces/1"
"""Of what the statistics are; a change of theirs raises it."""
MAX_BYTES = 1024**3


@dataclass(frozen=True)
class KeptReader:
    """Reads a set of images once.

    Attributes:
        read: takes the statistics.
        folder: where they are kept.
        about: digest of everything that they follow from but the set itself.
        windows: how many they are of.
    """

    read: Reader
    folder: Path
    about: bytes
    windows: int

    def __call__(self, distilled: Distilled) -> Trace:
        """The statistics of a set: read back, or taken and kept."""
        name = hashlib.sha256(VERSION + self.about + distilled.to_bytes()).hexdigest()[:32]
        path = self.folder / f"trace-{name}.safetensors"
        kept = self._kept(path)
        if kept is None:
            kept = self.read(distilled)
            write_bytes(path, save({own: np.ascontiguousarray(kept[own]) for own in kept}), 0o600)
        return kept

    def _kept(self, path: Path) -> Trace | None:
        """None where there is none, or it is damaged: then it is made again."""
        try:
            trace = load(read_plain(path, MAX_BYTES))
        except (OSError, SafetensorError):
            return None
        if set(trace) != set(STATISTICS):
            return None
        shape = (self.windows,)
        sound = all(own.shape == shape and own.dtype == np.float64 for own in trace.values())
        return trace if sound else None
