"""Tip 2: use traditional methods to establish performance baselines."""
