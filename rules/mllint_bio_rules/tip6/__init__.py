"""Tip 6: tune your hyperparameters extensively and systematically."""
