"""mllint-bio: a linter for the training code of computational biologists."""

__version__ = "0.1.0"
