"""What a concept has learned: its rows, their canonical bytes, and the file formats of other programs.

Takes rows from training or from a file and hands bytes to the registry; knows neither prompts nor stores. Open
`embedding.py` first.
"""

from textinv.embedding.embedding import Embedding
from textinv.embedding.foreign import import_embedding
from textinv.embedding.formats import EXPORT_FORMATS, export_bytes, export_embedding
from textinv.embedding.keys import FileKeys

__all__ = ["EXPORT_FORMATS", "Embedding", "FileKeys", "export_bytes", "export_embedding", "import_embedding"]
