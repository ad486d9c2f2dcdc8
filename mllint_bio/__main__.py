"""`python -m mllint_bio`."""

from mllint_bio.cli import main

main()
