"""Generation: prompts with mounted concepts in, pictures out, any number at once on one frozen base model."""
