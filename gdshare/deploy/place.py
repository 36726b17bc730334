"""Where everything lies on a machine of a federation, in words that are safe in a unit or a script.

::

    class NodePlace(Place):
        site: SiteName
        state: AbsolutePath = Path("/var/lib/gdshare-node")

    place = NodePlace.of(site="st-mary", folder=Path("/etc/gdshare"))
    with new_place(place.folder) as folder:
        write_bytes(folder / "node.toml", settings)
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gdshare.errors import UsageError
from gdshare.storage import new_folder

_WORD = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or not _WORD.fullmatch(str(path)):
        raise ValueError("write it in full, of letters, digits, dots, hyphens and underscores")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
"""One word of a shell, of systemd and of nginx."""
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Place(BaseModel):
    """What the machines of both sides have; each side's own place adds to it.

    Attributes:
        folder: keys, certificates and the files of this set-up.
        work: what people there work with.
        state: what the service keeps.
        logs: its log.
        bin: where gdshare is installed.
        user: as whom the service runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: AbsolutePath = Path("/etc/gdshare")
    work: AbsolutePath = Path("/srv/gdshare")
    state: AbsolutePath
    logs: AbsolutePath
    bin: AbsolutePath = Path("/opt/gdshare/bin")
    user: UserName

    @classmethod
    def of(cls, **values: object) -> Self:
        """A place of checked values.

        Raises:
            UsageError: a value that cannot be used; names the option of ``init``.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            option = "--" + str(first["loc"][0]).replace("_", "-")
            reason = first["msg"].removeprefix("Value error, ").lower()
            raise UsageError(
                reason, f"{option} {first['input']!s:.80}", "choose another"
            ) from error

    def values(self) -> Mapping[str, str]:
        """What the templates want."""
        return {name: str(value) for name, value in self.model_dump().items()}


@contextmanager
def new_place(folder: Path) -> Iterator[Path]:
    """Make the folder of a set-up, whole or not at all.

    Args:
        folder: missing or empty.

    Yields:
        Where to write its files.

    Raises:
        UsageError: there is something in it.
    """
    try:
        with new_folder(folder, 0o755) as written:
            yield written
    except FileExistsError as error:
        raise UsageError(
            "is not empty", folder, "choose a new folder; keys are never overwritten"
        ) from error
