"""What a finished run would leave as: its manifest, by the policy and the ledger of an outbox."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from gdshare.audit import read_attacks
from gdshare.bundle import Manifest, describe_run, read_tensors
from gdshare.distill.run_folder import read_record, read_result
from gdshare.distilled import Distilled
from gdshare.errors import BundleError, RunError
from gdshare.release.consent import require_consent
from gdshare.release.guarantee import guarantee_of
from gdshare.release.locked_outbox import LockedOutbox, require_owner
from gdshare.release.policy import terms_of
from gdshare.release.publish import next_number


def describe(
    run: Path,
    outbox: LockedOutbox,
    *,
    site: str,
    recipients: Sequence[str],
    now: datetime,
    lifetime: timedelta,
    sequence: int | None = None,
) -> tuple[Manifest, Distilled]:
    """Read a finished run and describe it, by the rules that its readers will apply.

    Args:
        run: the run's folder.
        outbox: the outbox it would be released into.
        site: the hospital's short name.
        recipients: who may use it; empty: all that the policy names.
        now: UTC.
        lifetime: from creation to expiry.
        sequence: the bundle's number; None: the next.

    Returns:
        the manifest and the tensors.

    Raises:
        RunError: the run is not finished, its result does not match ``run.json``, or the record of
            its guarantee is gone, damaged or another run's.
        PolicyError: the policy does not name a recipient, or the images were distilled for a shared
            model without consent to it.
        UsageError: the outbox is another hospital's; or a name, number or time that the format does
            not allow.
    """
    require_owner(outbox.path, outbox.ledger.entries, site)
    record, distilled = read_record(run), read_result(run)
    guarantee = guarantee_of(run, record)
    manifest = describe_run(
        record,
        site=site,
        sequence=next_number(outbox.path, outbox.ledger, site) if sequence is None else sequence,
        now=now,
        lifetime=lifetime,
        terms=terms_of(outbox.policy, recipients),
        suppress_below=outbox.policy.bundle.suppress_below,
        # Figures of attacks are read off patients, outside a guarantee's account.
        attacks=() if guarantee is not None else read_attacks(run, distilled),
        privacy=guarantee,
    )
    try:
        read_tensors(distilled.to_bytes(), manifest)
    except BundleError as error:
        raise RunError(f"cannot be published: {error.what}", run, "distil again") from error
    require_consent(manifest, outbox.ledger.entries)
    return manifest, distilled
