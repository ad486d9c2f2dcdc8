"""Tip 3: understand the complexities of training deep neural networks."""
