"""Generation: prompts with mounted concepts in, pictures out, any number at once on one frozen base model.

Owns the engine, its requests and the cache of embeddings. Does not know where embeddings are stored, HTTP, Ray or
training. Open `engine.py` first: a request goes through it from the top to the bottom.
"""

from textinv.generation.cache import ConceptSource, EmbeddingCache
from textinv.generation.draw import generate, generate_all
from textinv.generation.engine import Engine
from textinv.generation.infotext import Infotext, read_infotext, read_png_infotext
from textinv.generation.prompts import Mount, StoredConcept
from textinv.generation.request import GeneratedImage, GenerateRequest, Preview, Ticket, read_request
from textinv.generation.safety import SafetyChecker, load_safety_checker
from textinv.generation.waiting_line import EngineLimits
from textinv.models.process import SCHEDULER_KINDS, find_scheduler_kind

__all__ = [
    "SCHEDULER_KINDS",
    "ConceptSource",
    "EmbeddingCache",
    "Engine",
    "EngineLimits",
    "GenerateRequest",
    "GeneratedImage",
    "Infotext",
    "Mount",
    "Preview",
    "SafetyChecker",
    "StoredConcept",
    "Ticket",
    "find_scheduler_kind",
    "generate",
    "generate_all",
    "load_safety_checker",
    "read_infotext",
    "read_png_infotext",
    "read_request",
]
