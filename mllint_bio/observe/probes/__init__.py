"""Probes: wrappers around what the catalog names, one module a library."""
