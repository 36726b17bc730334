"""Reading the state of a hospital's folders; nothing is written, and nothing leaves.

Each part is read by its own reader, with that reader's checks. What cannot be read becomes a fault
in the state, so that the rest is still told.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from gdshare.audit import read_audit
from gdshare.bundle import Manifest, read_tensors
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.folder import read_folder
from gdshare.bundle.layout import MANIFEST, SIGNED, TENSORS
from gdshare.bundle.outbox import newest
from gdshare.distill.run_folder import RECORD, RESULT, read_record, read_result
from gdshare.distill.score_record import tensors_digest
from gdshare.extras import require_extra
from gdshare.ledger import Entry, read_ledger
from gdshare.next_steps.hospital import Films, HospitalState, Places, PreparedBundle, Run
from gdshare.next_steps.part_reader import PartReader
from gdshare.release import Policy, read_approvals, read_prepared
from gdshare.release.locked_outbox import owner_of
from gdshare.release.pinned import POLICY, policy_in_force
from gdshare.release.prepared import CONTENT
from gdshare.release.publish import RELEASE, WITHDRAW, ledger_beside
from gdshare.release.rules import findings
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages
from gdshare.signing import fingerprint, load_public_key

COHORT_INDEX, STORE_INDEX = "cohort.json", "store.json"


def read_hospital(places: Places) -> HospitalState:
    """Read what lies in the places that are known."""
    reader = PartReader()
    entries = reader.part(lambda: _entries(places.outbox), list[Entry]())
    site = owner_of(entries) or places.site
    policy = reader.part(lambda: _policy(places.outbox, entries), None)
    bundle = newest(places.outbox, site) if places.outbox and site else None
    return HospitalState(
        places=places,
        films=reader.part(lambda: _films(places.store), None),
        has_cohort=_has(places.cohort, COHORT_INDEX),
        run=reader.part(lambda: _run(places.run), None),
        has_key=places.key is not None and places.key.exists(),
        has_request=places.key is not None and places.key.with_suffix(".request").exists(),
        has_policy=any(entry.act == POLICY for entry in entries),
        has_released=any(entry.act == RELEASE for entry in entries),
        prepared=reader.part(lambda: _prepared(places, policy, entries), None),
        newest=bundle.name if bundle is not None else None,
        newest_tensors=reader.part(lambda: _images_of(bundle), None),
        faults=tuple(reader.faults),
    )


def _has(folder: Path | None, name: str) -> bool:
    return folder is not None and os.path.lexists(folder / name)


def _films(path: Path | None) -> Films | None:
    if path is None or not _has(path, STORE_INDEX):
        return None
    require_extra("films")
    from gdshare.store.folder import open_store
    from gdshare.store.outline import load_outline

    store = open_store(path)
    held = unfinished = outlined = 0
    for film in store.films():
        drawing = load_outline(store, film.film).drawing
        is_drawn = bool(drawing.polygons) and drawing.diagnosis is not None
        held += film.state == "held"
        unfinished += film.state == "released" and not is_drawn
        outlined += film.state == "released" and is_drawn
    return Films(held, unfinished, outlined)


def _run(path: Path | None) -> Run | None:
    if path is None or not _has(path, RECORD):
        return None
    read_record(path)
    if not _has(path, RESULT):
        return Run()
    result = read_result(path)
    return Run(tensors_digest(result), read_audit(path, result) is not None)


def _entries(outbox: Path | None) -> list[Entry]:
    return read_ledger(ledger_beside(outbox)) if outbox is not None else []


def _policy(outbox: Path | None, entries: Sequence[Entry]) -> Policy | None:
    return policy_in_force(outbox, entries) if outbox is not None else None


def _prepared(
    places: Places, policy: Policy | None, entries: Sequence[Entry]
) -> PreparedBundle | None:
    if places.prepared is None or policy is None or not places.prepared.exists():
        return None
    files = read_folder(places.prepared / CONTENT, SIGNED)
    manifest = Manifest.from_bytes(files[MANIFEST])
    tensors = _images_in(files)
    digest = subject_digest(digests_of(files))
    acts = {entry.act for entry in entries if entry.digest == digest}
    if WITHDRAW in acts:
        return PreparedBundle(manifest.name, tensors, "withdrawn")
    if RELEASE in acts:  # its pages were made by the policy of that day
        return PreparedBundle(manifest.name, tensors, "released")
    pages = partial(release_pages, policy=policy)
    bundle = read_prepared(places.prepared, render_preview, pages)
    signer = _fingerprint(places.key)
    people = {approval.fingerprint for approval in read_approvals(bundle, policy)} - {signer}
    return PreparedBundle(
        name=manifest.name,
        tensors=tensors,
        is_allowed=all(finding.passed for finding in findings(policy, manifest)),
        at_chance=bundle.score.at_chance,
        approvals=len(people),
        needed=policy.release.approvals,
    )


def _images_of(bundle: Path | None) -> str | None:
    return None if bundle is None else _images_in(read_folder(bundle))


def _images_in(files: Mapping[str, bytes]) -> str:
    """SHA-256 of the images, as a run's record of its score has it."""
    return tensors_digest(read_tensors(files[TENSORS], Manifest.from_bytes(files[MANIFEST])))


def _fingerprint(key: Path | None) -> str | None:
    """Of the hospital's key, whose owner does not count as an approver."""
    public = key.with_suffix(".pub") if key is not None else None
    if public is None or not public.exists():
        return None
    return fingerprint(load_public_key(public))
