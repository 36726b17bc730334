"""``python -m gdshare.bundle verify BUNDLE --key site.pub``: verification with little installed.

Needs numpy, safetensors, cryptography and pydantic only. Leaves with status 0 when every rule is
passed and 2 otherwise.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gdshare.bundle.verify import acceptance, refusal, sentence, verify_folder
from gdshare.errors import GdshareError
from gdshare.escaping import Parser, escaped, escaped_json
from gdshare.signing.keys import load_public_key


def parser() -> Parser:
    """Describe the command line."""
    top = Parser(prog="python -m gdshare.bundle", description=__doc__)
    verify = top.add_subparsers(required=True).add_parser("verify", help="check a bundle")
    verify.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    verify.add_argument("--key", type=Path, required=True, help="the hospital's public key file")
    verify.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return top


def main(arguments: Sequence[str], now: datetime) -> int:
    """Verify one bundle and say so.

    Returns:
        The exit status, 0 or 2.
    """
    options = parser().parse_args(arguments)
    try:
        bundle = verify_folder(options.bundle, load_public_key(options.key), now)
    except GdshareError as fault:
        if options.json:
            sys.stdout.write(escaped_json(refusal(fault)))
        sys.stderr.write(f"{escaped(fault)}\n")
        return 2
    sys.stdout.write(
        escaped_json(acceptance(bundle)) if options.json else f"{escaped(sentence(bundle))}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], datetime.now(UTC)))
