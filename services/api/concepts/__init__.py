"""What is stored, over HTTP: `/v1/concepts`.

Owns the JSON of concepts and their downloads. Embeddings are never written here. Begin with `concepts`.
"""
