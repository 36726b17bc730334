"""The commands of a hospital's walk, as others name them: with what is known, or a stand-in."""

from pathlib import Path

from gdshare.next_steps.command import Command, Word

KEYS_FOLDER = Path("keys")
"""Where ``gdshare keys new`` writes unless it is told otherwise."""


def import_films(store: Path | None = None) -> Command:
    """Films into the store."""
    return Command("import", (Word(None, "DIR"), Word(store, "STORE", "--out", "store")))


def review(store: Path | None = None) -> Command:
    """List the films that are held."""
    return Command("review", (Word(store, "STORE", key="store"),))


def outline(store: Path | None = None) -> Command:
    """Serve the page on which organs are outlined and held films shown."""
    return Command("label", (Word(store, "STORE", key="store"), Word(option="--serve")))


def label(
    store: Path | None = None, cohort: Path | None = None, options: tuple[str, ...] = ()
) -> Command:
    """Cut the outlined films; ``options`` are those of the protocol, as typed."""
    protocol = tuple(Word(option=option) for option in options)
    source, out = Word(store, "STORE", key="store"), Word(cohort, "COHORT", "--out", "cohort")
    return Command("label", (source, *protocol, out))


def distill(
    cohort: Path | None = None, run: Path | None = None, *, resume: bool = False
) -> Command:
    """Distil a cohort, or go on with a run."""
    words = (Word(cohort, "COHORT", key="cohort"), Word(run, "RUN", "--out", "run"))
    return Command("distill", (*words, Word(option="--resume")) if resume else words)


def audit(run: Path | None = None, cohort: Path | None = None) -> Command:
    """Attack a run's images."""
    return Command("audit", (Word(run, "RUN", key="run"), Word(cohort, "COHORT", key="cohort")))


def new_key(key: Path) -> Command:
    """Make the hospital's key, where it is looked for."""
    name, folder = Word(key.stem, option="--name"), Word(key.parent, option="--out")
    return Command("keys new", (name,) if key.parent == KEYS_FOLDER else (name, folder))


def request_trust(key: Path | None = None, site: str | None = None) -> Command:
    """Write the request to trust the hospital's key."""
    return Command("keys request", (Word(key, "SITE.key", key="key"), _site(site)))


def new_policy(outbox: Path | None = None, site: str | None = None) -> Command:
    """Bring the first policy into force."""
    approver = Word(None, "OFFICER.pub", "--approver")
    return Command("policy new", (_outbox(outbox), _site(site), approver))


def prepare(
    run: Path | None = None,
    prepared: Path | None = None,
    outbox: Path | None = None,
    site: str | None = None,
) -> Command:
    """Lay out what would leave."""
    words = (Word(run, "RUN", key="run"), Word(prepared, "PREPARED", "--out", "prepared"))
    return Command("prepare", (*words, _outbox(outbox), _site(site)))


def approve(prepared: Path | None = None, outbox: Path | None = None) -> Command:
    """Approve it; the digest is typed from the page, and never shown for copying."""
    key = Word(None, "OFFICER.key", "--key", "approver-key")
    return Command("approve", (*_prepared(prepared, outbox), key, Word(None, "DIGEST", "--digest")))


def release(
    prepared: Path | None = None, outbox: Path | None = None, *, at_chance: bool = False
) -> Command:
    """Sign it and put it into the outbox."""
    words = (*_prepared(prepared, outbox), Word(None, "SITE.key", "--key", "key"))
    return Command("release", (*words, Word(option="--at-chance")) if at_chance else words)


def serve_node() -> Command:
    """Have the node hand over what was released."""
    return Command("node", (Word("node.toml"), Word(None, "HOST:PORT", "--superlink")))


def _prepared(prepared: Path | None, outbox: Path | None) -> tuple[Word, Word]:
    return Word(prepared, "PREPARED", key="prepared"), _outbox(outbox)


def _outbox(outbox: Path | None) -> Word:
    return Word(outbox, "OUTBOX", "--outbox", "outbox")


def _site(site: str | None) -> Word:
    return Word(site, "SITE", "--site", "site")
