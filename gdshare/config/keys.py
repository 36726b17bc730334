"""What may stand in ``gdshare.toml``, each key with its meaning; and its environment variable.

A command's option takes the value of a key by naming its variable::

    outbox: Annotated[Path, typer.Option(envvar=variable("outbox"))]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from gdshare.signing.names import SITE

Value = str | int | bool
Role = Literal["hospital", "aggregator", "both"]

MAX_TEXT = 4096
"""Characters of a path or an address, as many as Linux takes."""
PREFIX = "GDSHARE_"
SECRET_WORDS = ("passphrase", "password", "secret", "token", "credential")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be seen")
    return text


_Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_printable)]
_Place = Annotated[_Text, "a path"]
_Name = Annotated[str, Field(pattern=f"^{SITE}$")]
_Count = Annotated[int, Field(ge=1, le=10_000)]


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: as it is written in the file.
        kind: the type of its value, for pydantic.
        role: who uses it.
        meaning: for people.
        example: a value, as TOML.
    """

    name: str
    kind: object
    role: Role
    meaning: str
    example: str

    @property
    def is_path(self) -> bool:
        """Whether a relative value is relative to the file's folder."""
        return self.kind is _Place


KEYS: Mapping[str, Key] = {
    key.name: key
    for key in (
        Key("site", _Name, "hospital", "the hospital's short name", '"st-mary"'),
        Key("store", _Place, "hospital", "imported films, without names", '"store"'),
        Key("cohort", _Place, "hospital", "labelled patches", '"cohort"'),
        Key("run", _Place, "hospital", "what gdshare distill makes", '"run"'),
        Key("prepared", _Place, "hospital", "what would leave, to be looked at", '"prepared"'),
        Key("outbox", _Place, "hospital", "what the node hands over", '"outbox"'),
        Key("approver-key", _Place, "hospital", "your own key, to approve", '"~/keys/officer.key"'),
        Key("name", _Name, "aggregator", "the aggregator's short name", '"tokyo"'),
        Key("superlink", _Text, "aggregator", "the SuperLink's address", '"127.0.0.1:8000"'),
        Key("root-certificates", _Place, "aggregator", "who certifies it", '"/etc/gdshare/ca.pem"'),
        Key("insecure", bool, "aggregator", "no TLS; on one machine only", "true"),
        Key("trust", _Place, "aggregator", "the hospitals' public keys", '"trust"'),
        Key("sites", _Count, "aggregator", "hospitals that a round waits for", "3"),
        Key("reference", _Place, "aggregator", "a labelled cohort of your own", '"cohort"'),
        Key("key", _Place, "both", "the private key that signs", '"keys/st-mary.key"'),
        Key("ledger", _Place, "both", "the ledger to show", '"outbox-ledger.jsonl"'),
        Key("device", _Text, "both", "where to compute: auto, cpu, cuda", '"cuda"'),
    )
}


def variable(key: str) -> str:
    """The environment variable of a key, such as ``GDSHARE_OUTBOX``.

    Raises:
        KeyError: no such key.
    """
    return f"{PREFIX}{KEYS[key].name.upper().replace('-', '_')}"


KEY_OF_VARIABLE: Mapping[str, str] = {variable(name): name for name in KEYS}


def _field_name(key: str) -> str:
    return key.replace("-", "_")


def _model() -> type[BaseModel]:
    # What is not given stays unset, so that it can be told from a value.
    fields: dict[str, object] = {_field_name(name): (key.kind, None) for name, key in KEYS.items()}
    config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
    )
    model: type[BaseModel] = create_model("GdshareToml", __config__=config, **fields)  # type: ignore[call-overload]
    return model


_MODEL = _model()


def checked_values(table: Mapping[str, object]) -> dict[str, Value]:
    """Check a file's table; returns the values that are given, by key.

    Raises:
        ValidationError: an unknown key, or a value of another type or out of bounds;
            ``describe_fault`` says it in words.
    """
    given = _MODEL.model_validate(dict(table)).model_dump(by_alias=True, exclude_unset=True)
    return {name: given[name] for name in KEYS if name in given}


def describe_fault(error: ValidationError) -> tuple[str, str]:
    """What is wrong with the first faulty key, and the remedy."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] != "extra_forbidden":
        reason = first["msg"].removeprefix("Value error, ")
        return f"{name}: {reason}", f"write it as in  {name} = {KEYS[name].example}"
    if any(word in name.lower() for word in SECRET_WORDS):
        return (
            f"{name:.50}: no secret belongs into this file",
            "take it out, and use GDSHARE_PASSPHRASE or --passphrase-file",
        )
    close = get_close_matches(name, KEYS, 1)
    meant = f"; is {close[0]} meant?" if close else ""
    return f"{name:.50}: no such key{meant}", "gdshare config show lists the keys"
