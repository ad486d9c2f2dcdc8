"""Remedies as text edits: LibCST on the one statement, then edits of the unit's text."""
