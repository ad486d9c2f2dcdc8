"""Tip 7: address overfitting. Splits, leakage and evaluation."""
