"""The command that builds the guide: `python -m simdyn.guide OUT`."""

import argparse
import sys
from pathlib import Path

from simdyn.base.inputs import InputError
from simdyn.guide.examples import SiteError
from simdyn.guide.site import build


def main() -> None:
    """Build the site, and say where its first page is."""
    parser = argparse.ArgumentParser(
        prog="python -m simdyn.guide",
        description="Build the guide as a folder of web pages, in a checkout of simdyn.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the site")
    parser.add_argument(
        "--checkout",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where figures/ and studies/ are; the current folder if not given",
    )
    given = parser.parse_args()
    try:
        print(build(given.out, given.checkout))
    except (InputError, SiteError) as problem:
        sys.exit(f"simdyn.guide: {problem}")


if __name__ == "__main__":
    main()
