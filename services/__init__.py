"""Drawing over HTTP with Ray Serve.

Two deployments: the front (CPU; HTTP, keys, encoding of pictures) and the studio (one frozen base model per replica).
"""
