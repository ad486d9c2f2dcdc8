"""Renderers: a report as text for people or machines. One module a format, one function each; none knows a rule."""
