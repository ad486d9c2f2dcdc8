"""`python -m tests.verdicts [NAME...]`: the table of verdicts on the runnable fixtures (names may be cut short: `05`)."""

from __future__ import annotations

import sys

from tests.verdicts.measure import expected, measure


def main() -> None:
    """Measure and print."""
    right = {"faulty": 0, "repaired": 0}
    count = {"faulty": 0, "repaired": 0}
    for name, entry in expected().items():
        if sys.argv[1:] and not name.startswith(tuple(sys.argv[1:])):
            continue
        for which in ("faulty", "repaired"):
            one = measure(name, which, entry)
            count[which] += 1
            right[which] += one.right
            mark = "right" if one.right else "WRONG"
            print(f"{mark}  {name:<46}{which:<10}{entry['code']:<8}{one.expected:<12}{one.said:<12}{one.figure}", flush=True)
            for other in one.accused:
                print(f"         also told: {other}")
    for which, number in count.items():
        print(f"{which}: {number} programs, {right[which]} verdicts right, {number - right[which]} wrong")


if __name__ == "__main__":
    main()
