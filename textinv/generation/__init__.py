"""Generation: prompts with mounted concepts in, pictures out, any number at once on one frozen base model.

Owns the engine, its requests and the cache of embeddings. Does not know HTTP, Ray or training. Stations 7 and 8.
"""

from textinv.generation.admission import Limits
from textinv.generation.cache import EmbeddingCache
from textinv.generation.draw import generate, generate_all
from textinv.generation.engine import Engine
from textinv.generation.infotext import Infotext, read_infotext, read_png_infotext
from textinv.generation.mounts import Mount, check_mounts, used_concepts
from textinv.generation.noise_schedulers import SCHEDULER_KINDS, find_scheduler_kind
from textinv.generation.prompt_aliases import expand_aliases, expand_bare_names
from textinv.generation.readback import read_request
from textinv.generation.request import GeneratedImage, GenerateRequest
from textinv.generation.safety import SafetyChecker, load_safety_checker
from textinv.generation.ticket import Preview, Ticket

__all__ = [
    "SCHEDULER_KINDS",
    "EmbeddingCache",
    "Engine",
    "GenerateRequest",
    "GeneratedImage",
    "Infotext",
    "Limits",
    "Mount",
    "Preview",
    "SafetyChecker",
    "Ticket",
    "check_mounts",
    "expand_aliases",
    "expand_bare_names",
    "find_scheduler_kind",
    "generate",
    "generate_all",
    "load_safety_checker",
    "read_infotext",
    "read_png_infotext",
    "read_request",
    "used_concepts",
]
