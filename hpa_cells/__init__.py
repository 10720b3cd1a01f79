"""A label for every cell in images of the Human Protein Atlas."""

__version__ = "0.1.0"
