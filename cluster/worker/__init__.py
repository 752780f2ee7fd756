"""One process of a crew."""
