"""What a concept has learned: its rows, their canonical bytes, and the file formats of other programs.

Takes rows from training or from a file and hands bytes to the registry; knows neither prompts nor stores.
"""

from textinv.embedding.embedding import Embedding

__all__ = ["Embedding"]
