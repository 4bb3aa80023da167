"""`python -m unspool` is `unspool`."""

from unspool.cli.program import main

main()
