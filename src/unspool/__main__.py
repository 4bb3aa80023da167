"""The program `unspool`, also as `python -m unspool`."""

import os
import sys

CUT_SHORT = 130
"""The exit code of a program that Ctrl-C broke off."""


def main() -> None:
    """Run it; who breaks it off before it has begun hears of it in the same line as later."""
    try:
        from unspool.cli.program import main as run

        run()
    except KeyboardInterrupt:
        print("unspool: interrupted", file=sys.stderr, flush=True)
        os._exit(CUT_SHORT)
    except SystemExit as left:
        if left.code == CUT_SHORT:                                     # Python would end itself by the signal if it came in an import
            sys.stderr.flush()
            os._exit(CUT_SHORT)
        raise


if __name__ == "__main__":
    main()
