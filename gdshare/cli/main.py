"""The ``gdshare`` command: options common to all commands, and errors in one sentence."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, NoReturn

import click
import typer

from gdshare import __version__
from gdshare.allocator import keep_freed_memory
from gdshare.cli.defaults import remedy_for, with_defaults
from gdshare.cli.exit_status import FAULT, INTERRUPTED, USAGE, status_of
from gdshare.cli.terminal import print_line, print_text
from gdshare.config import CONFIG_VARIABLE, Config, read_config
from gdshare.errors import GdshareError, UsageError
from gdshare.escaping import escaped_traceback
from gdshare.extras import extra_missing
from gdshare.idle_threads import let_threads_sleep
from gdshare.logs import FILE_VARIABLE, LEVEL_VARIABLE, LEVELS, start_logging, start_logging_from

MODULES = {
    "import": "intake",
    "prepare": "release",
    "approve": "release",
    "unseal": "seal",
}
"""Commands whose module has another name."""

OWN_COMMANDS: dict[str, str] = {
    name: f"gdshare.cli.{MODULES.get(name, name)}:register"
    for name in (
        "next",
        "config",
        "phantom",
        "import",
        "review",
        "outline",
        "label",
        "distill",
        "audit",
        "keys",
        "policy",
        "prepare",
        "approve",
        "release",
        "publish",
        "withdraw",
        "verify",
        "seal",
        "unseal",
        "ledger",
        "consent",
        "assessment",
        "train",
        "evaluate",
        "classify",
        "report",
        "reproduce",
    )
}
"""In the order of use, which is the order in the help."""

PANELS: dict[str, tuple[str, ...]] = {
    "Everybody": ("next", "config"),
    "Hospital: films and outlines": ("import", "review", "outline", "label"),
    "Hospital: distil and release": (
        *("distill", "audit", "prepare", "approve", "release", "publish", "withdraw", "seal"),
        *("keys", "policy", "ledger", "consent", "assessment"),
    ),
    "Hospital: the node": ("node", "exposure"),
    "Aggregator": (
        *("federation", "nodes", "announce", "verify", "unseal", "aggregate", "status"),
        *("receipts", "trust"),
    ),
    "Researcher": ("phantom", "demo", "train", "evaluate", "classify", "report", "reproduce"),
}
"""The front page's groups, by role."""

ENTRY_POINTS = "gdshare.commands"
ANYWHERE = {
    "--log-level": LEVEL_VARIABLE,
    "--log-file": FILE_VARIABLE,
    "--config-file": CONFIG_VARIABLE,
}
"""Options accepted before and after the command, like --debug, and their variables."""
log = logging.getLogger(__name__)


def build_app(first_word: str | None = None) -> typer.Typer:
    """Build the command with all sub-commands, or only the one about to run.

    Importing torch and Flower takes seconds; a command that needs neither should not wait.

    Args:
        first_word: the sub-command about to run; None or an unknown word: all of them.
    """
    app = typer.Typer(
        name="gdshare",
        no_args_is_help=True,
        suggest_commands=False,  # click suggests them already
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_front)
    commands = {
        name: EntryPoint(name, target, ENTRY_POINTS) for name, target in OWN_COMMANDS.items()
    }
    commands |= {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS))}
    chosen = [commands[first_word]] if first_word in commands else commands.values()
    # A module with several commands registers them at once.
    for register in dict.fromkeys(point.load() for point in chosen):
        register(app)
    _group_by_role(app)
    return app


def _group_by_role(app: typer.Typer) -> None:
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    order = list(panel_of)
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        command.name = name
        command.rich_help_panel = panel_of.get(name, "Commands")
    for group in app.registered_groups:
        group.rich_help_panel = panel_of.get(str(group.name), "Commands")
    app.registered_commands.sort(
        key=lambda command: order.index(str(command.name)) if command.name in order else len(order)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; errors are one sentence on stderr, and a status of ``exit_status``."""
    keep_freed_memory()
    let_threads_sleep()
    _print_whatever_the_encoding()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        start_logging()  # for errors in the log options themselves
        variables, words = _options_anywhere([word for word in words if word != "--debug"])
        start_logging_from(os.environ | variables)
        with _exported(variables):
            status = _run(words)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError:
        sys.exit(USAGE)  # the help was printed
    except click.ClickException as error:
        _end(error.format_message(), USAGE, debug)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except GdshareError as error:
        _end(str(error), status_of(error), debug)
    except OSError as error:
        place = error.filename or "the system"
        _end(f"{place}: {error.strerror}; check path and space", USAGE, debug)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        missing = extra_missing(error.name) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None:
            _end(str(missing), USAGE, debug)
        _end(
            f"a fault in gdshare itself ({type(error).__name__}: {error}); run it again with "
            "--debug and report what it prints",
            FAULT,
            debug,
        )


def _run(words: list[str]) -> object:
    """Run the command that is named; what is not typed comes from ``gdshare.toml``.

    Raises:
        ClickException: the words do not fit; its message says what to do.
    """
    first = next((word for word in words if not word.startswith("-")), None)
    command = typer.main.get_command(build_app(first))
    config = read_config(os.environ, Path())
    defaults = with_defaults(command, config)
    try:
        return command(
            args=words,
            prog_name="gdshare",
            standalone_mode=False,
            default_map=defaults,
            obj=config,
        )
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.ClickException as error:
        raise _explained(error, config) from error


def _explained(error: click.ClickException, config: Config) -> click.ClickException:
    """The same error in one sentence, with what to do."""
    where = getattr(getattr(error, "ctx", None), "command_path", "gdshare")
    remedy = remedy_for(error, config) or f"see {where} --help"
    return click.ClickException(f"{error.format_message().rstrip('.')}; {remedy}")


def _print_whatever_the_encoding() -> None:
    """Escape characters that the terminal's encoding lacks, such as the ε of Eq. 4.

    The same goes for file names that are not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _end(message: str, status: int, debug: bool) -> NoReturn:
    error = sys.exception()
    if debug and error is not None:
        print_text(f"{escaped_traceback(error)}\n", err=True)
    log.error(message, exc_info=debug or status == FAULT, extra={"without_traceback": True})
    sys.exit(status)


@contextmanager
def _exported(variables: dict[str, str]) -> Iterator[None]:
    """Let the processes that a command starts log as it does."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _options_anywhere(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split off the options that may stand anywhere, as environment variables.

    Raises:
        UsageError: an option without its value.
    """
    options: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name not in ANYWHERE:
            rest.append(word)
            continue
        value = value if equals else next(remaining, "")
        if not value:
            raise UsageError("needs a value", name, "see gdshare --help")
        options[ANYWHERE[name]] = value
    return options, rest


def _show_version(value: bool) -> None:
    if value:
        print_line(f"gdshare {__version__}")
        raise typer.Exit


def _front(
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error, show the traceback.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(
            envvar=LEVEL_VARIABLE,
            metavar="|".join(LEVELS),
            help="Least level to print and log.",
        ),
    ] = "info",
    log_file: Annotated[
        Path | None,
        typer.Option(
            envvar=FILE_VARIABLE,
            help="File to append the log to, with times, levels and tracebacks.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            envvar=CONFIG_VARIABLE,
            help="File with the options that you do not type. Default: the nearest gdshare.toml "
            "from here upward; see gdshare config.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Share what a hospital's X-rays teach without sharing the X-rays.

    At a hospital, in this order:

    **import** films from a PACS or a folder, **review** those that may show a name,
    **label** the films once their organs are outlined, **distill** the labelled patches into
    a few synthetic images, **audit** what those reveal, make **keys** and a **policy**
    once, and **publish** a signed bundle, or **prepare** it, have it **approve**d by others, and
    **release** it. **withdraw** takes back a released bundle.

    At the aggregator:

    **aggregate** collects and verifies bundles, trains a model, and has each hospital
    count its results on films that stay there.

    To see it all on synthetic films: **gdshare demo**.
    """
