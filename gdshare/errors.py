"""One exception tree. Every message says what happened, to which file, and what to do.

The command line prints ``str(error)`` and leaves with status 2; nothing else is shown unless
``--debug`` asks for the traceback. Modules with a family of their own faults (films, bundles)
derive from these in place, so that a caller may catch as finely or as coarsely as it needs.
"""


class GdshareError(Exception):
    """Anything gdshare refuses to do, told in one plain sentence with its remedy."""


class UsageError(GdshareError):
    """An option, a setting or a combination of them that cannot be honoured."""


class DivergedError(UsageError):
    """Training on distilled images that leaves the range of numbers."""


class FilmError(GdshareError):
    """A film or mask that cannot be read as a gray-scale X-ray or an organ outline."""


class StoreError(GdshareError):
    """A store of imported films that cannot be made, read or added to."""


class StaleError(StoreError):
    """A change that is based on another state of a film than the one in its store."""


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


class ModelError(GdshareError):
    """A trained model that cannot be read, or does not fit what it is asked to classify."""


class FederationError(GdshareError):
    """A round that cannot be held: no SuperLink, no hospital answering, no bundle admitted."""
