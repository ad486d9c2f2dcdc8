"""Which libraries are wrapped, and by which modules; read on both sides, so nothing is imported here."""

from __future__ import annotations

# Top-level import name -> modules of this package that wrap it.
HANDLERS: dict[str, tuple[str, ...]] = {
    "random": ("functions",),
    "numpy": ("functions", "tables"),
    "scipy": ("functions",),
    "pandas": ("functions", "tables"),
    "sklearn": ("functions", "estimators"),
    "imblearn": ("functions", "estimators"),
    "xgboost": ("functions", "estimators"),
    "lightgbm": ("functions", "estimators"),
    "catboost": ("functions", "estimators"),
    "torch": ("functions", "networks"),
    "torchmetrics": ("functions", "networks"),
    "lightning": ("functions", "networks"),
    "pytorch_lightning": ("functions", "networks"),
    "transformers": ("functions", "networks"),
    "keras": ("functions", "networks"),
    "tensorflow": ("functions", "networks"),
    "skorch": ("estimators",),
}
