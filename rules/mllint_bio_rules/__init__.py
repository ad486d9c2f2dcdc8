"""Built-in rules of mllint-bio: one file a rule, one folder a tip.

Registered under the entry-point group `mllint_bio.rules`, as a third party's rules are.
"""
