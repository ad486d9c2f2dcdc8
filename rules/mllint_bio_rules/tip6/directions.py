"""Which way a monitored figure is better, by the words of its name."""

from __future__ import annotations

import re

UP = {
    *(
        "acc",
        "accuracy",
        "auc",
        "auroc",
        "auprc",
        "aucpr",
        "roc",
        "ap",
        "map",
        "f1",
        "fscore",
        "dice",
        "iou",
        "jaccard",
        "mcc",
        "kappa",
    ),
    *("r2", "corr", "pearson", "spearman", "precision", "recall", "sensitivity", "specificity"),
}
DOWN = {"loss", "error", "err", "mse", "mae", "rmse", "nll", "logloss", "perplexity", "brier", "ece", "hausdorff", "wer"}


def better_by_name(metric: str) -> str:
    """`up` or `down`; empty if the words of the name do not say, or say both."""
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    up, down = bool(words & UP), bool(words & DOWN)
    return "" if up == down else "up" if up else "down"
