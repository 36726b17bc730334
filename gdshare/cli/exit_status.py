"""Exit statuses of every command; the hospital's guide lists them.

======  ============================================================================
0       done
2       usage: an option, a file, a setting, or something this machine lacks
3       refused by a rule: of a policy, of the format of a bundle or an announcement, of a
        ledger; of ``aggregate`` also: the round is finished, and a hospital is missing from it
4       the other side: the PACS, the SuperLink or the hospitals did not do their part
70      a fault in gdshare itself (``EX_SOFTWARE`` of sysexits.h)
130     stopped by Ctrl-C
======  ============================================================================
"""

from typing import Final

from gdshare.errors import (
    AnnouncementError,
    BundleError,
    GdshareError,
    LedgerError,
    PolicyError,
    RemoteError,
    TrustError,
    UsageError,
)

USAGE: Final = 2
REFUSED: Final = 3
OTHER_SIDE: Final = 4
FAULT: Final = 70
INTERRUPTED: Final = 130


def status_of(error: GdshareError) -> int:
    """The exit status for an error."""
    match error:
        case UsageError():  # first: a bundle's path that is mistyped is one too
            return USAGE
        case PolicyError() | BundleError() | AnnouncementError() | LedgerError() | TrustError():
            return REFUSED
        case RemoteError():
            return OTHER_SIDE
        case _:
            return USAGE
