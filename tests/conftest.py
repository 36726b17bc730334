"""What every test may count on: torch computes on one thread, as one seed's bytes depend on it.

And the servers that more than one module of tests starts; what they are stands in the kits.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

if TYPE_CHECKING:
    from kill_kit import Killer
    from orthanc_kit import Orthanc

torch.set_num_threads(1)
# Beside the tests: the folder one stands in may belong to somebody else.
EXAMPLES = Path(__file__).parents[1] / ".hypothesis" / "examples"
settings.register_profile("gdshare", database=DirectoryBasedExampleDatabase(EXAMPLES))
settings.load_profile("gdshare")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged of names that are no UTF-8 travels to another process as escapes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Orthanc"]:
    from orthanc_kit import orthanc

    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def server(pacs: "Orthanc") -> "Orthanc":
    """The PACS, empty."""
    pacs.clear()
    return pacs


@pytest.fixture(scope="module")
def killer() -> Iterator["Killer"]:
    """It runs commands with the passphrase of the kits."""
    from bundle_run_kit import PASSPHRASE
    from kill_kit import start_killer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
        with start_killer() as process:
            yield process
