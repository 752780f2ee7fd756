"""Prompts with {} where the concept goes: for the context term and for editability.

Data only. The two lists share no line, so that nothing is trained on what it is judged by.
"""

CONTEXT_PROMPTS = (
    "a {} on a white background",
    "a {} on a red background",
    "a blue {}",
    "a small {} in the snow",
    "a {} on the beach",
    "a {} in the forest at night",
    "a painting of a {}",
    "a pencil drawing of a {}",
    "a {} and a tree",
    "a {} next to a cup",
    "two {} side by side",
    "a {} made of wood",
    "a {} with a hat",
    "a {} in a city street",
    "a close up of a {}",
    "a toy {} on a table",
)
"""What the context term compares: ordinary sentences about backgrounds, colours, styles and company."""
