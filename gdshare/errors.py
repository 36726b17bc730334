"""One exception tree: every error says what happened, where, and what to do about it.

::

    GdshareError
    ├── UsageError          an option or a setting
    │   └── DivergedError   training that left the range of numbers
    ├── FilmError           a film, a mask or an outline
    │   └── NotAFilmError   a DICOM object of another kind
    ├── StoreError          the store of imported films
    │   └── StaleError      a change to a film that has changed since
    ├── CohortError         a cohort or its table
    ├── RunError            a distillation run
    ├── KeyFileError        a key
    ├── PolicyError         what the hospital's policy does not allow
    ├── LedgerError         a ledger
    ├── AnnouncementError   an aggregator's announcement of a θ0
    ├── BundleError         a bundle that is refused; subclasses name the reason
    ├── LockedError         a file that another process is using
    ├── ModelError          a trained model
    └── RemoteError         the other side
        └── FederationError a round
            └── TrustError  a key or a bundle that the trust list's rules refuse

The command line prints ``str(error)`` and exits with a status (``gdshare.cli.exit_status``);
``--debug`` adds the traceback.
Packages with a family of errors of their own derive them from these, so that a caller may catch as
finely or as coarsely as it needs.
"""

from typing import Self


class GdshareError(Exception):
    """What gdshare refuses to do.

    ``str`` gives one sentence: where, what, remedy.

    Attributes:
        what: what happened, such as ``is not readable TOML``.
        where: the file, folder or address; empty when ``what`` names it.
        remedy: what to do; empty when the reader can do nothing.
    """

    def __init__(self, what: str, where: object = "", remedy: str = "") -> None:
        """Keep the three parts apart, so that each can be shown or logged alone."""
        super().__init__(what, where, remedy)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        """One sentence for people."""
        place = f"{self.where}: " if str(self.where) else ""
        return f"{place}{self.what}{'; ' if self.remedy else ''}{self.remedy}"

    def at(self, where: object) -> Self:
        """The same error, told of the file it arose in."""
        inner = f"{where}: {self.where}" if str(self.where) else where
        return type(self)(self.what, inner, self.remedy)


class UsageError(GdshareError):
    """An option, a setting or a combination of them that cannot be honoured."""


class DivergedError(UsageError):
    """Training on distilled images that leaves the range of numbers."""


class FilmError(GdshareError):
    """A film or mask that cannot be read as a gray-scale X-ray or an organ outline."""


class NotAFilmError(FilmError):
    """A DICOM object that is no radiograph, such as a report, a video or a medium's index."""


class StoreError(GdshareError):
    """A store of imported films that cannot be made, read or added to."""


class StaleError(StoreError):
    """A change that is based on another state of a film than the one in its store."""


class LockedError(GdshareError):
    """Something that another process or thread is using."""


class CohortError(GdshareError):
    """A cohort table or a cohort on disk that is inconsistent, incomplete or unreadable."""


class RunError(GdshareError):
    """A distillation run that cannot be started, continued or read."""


class KeyFileError(GdshareError):
    """A signing or verification key that cannot be made, read or unlocked."""


class PolicyError(GdshareError):
    """Something that the hospital's policy does not let out, or a policy that cannot be read."""


class LedgerError(GdshareError):
    """A ledger that was altered or cut short, or cannot be read or written."""


class BundleError(GdshareError):
    """A bundle that is refused. Subclasses in ``gdshare.bundle`` name the single reason."""


class AnnouncementError(GdshareError):
    """An announcement of a θ0 that cannot be read, or is not what it says."""


class ModelError(GdshareError):
    """A trained model that cannot be read, or does not fit what it is asked to classify."""


class RemoteError(GdshareError):
    """Another machine that does not answer, or does not do its part."""


class FederationError(RemoteError):
    """A round that cannot be held: no SuperLink, no hospital answering, no bundle admitted."""


class TrustError(FederationError):
    """A key or a bundle that the trust list's rules refuse, or a trust list that breaks them."""
