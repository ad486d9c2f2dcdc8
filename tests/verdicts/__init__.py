"""Verdicts on the runnable fixtures: faults planted, verdicts right, verdicts wrong (`python -m tests.verdicts`)."""
