"""Drawing and teaching over HTTP with Ray Serve.

Two deployments: the front (CPU; HTTP, keys, encoding of pictures) and the studio (one frozen base model per replica);
with several fronts a third one counts what callers use. Begin with `application`, which puts them together; routes work
with what is in `desk`.
"""
