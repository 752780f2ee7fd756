"""What the service itself keeps in the store, so that a caller can ask again: answers, and pictures by URL.

Owns that a request with an `Idempotency-Key` is done once (`idempotency`, where to begin), and removing what nobody can
ask for any more (`pruning`). Knows no routes.
"""
