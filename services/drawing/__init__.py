"""Who draws: studios, each with one frozen base model and its engine, and how a front reaches them.

Owns everything between a `GenerateRequest` and its pictures that is not the engine itself. Knows no HTTP. Begin with
`studio`, the protocol; `engine_studio` draws, `replica` runs it under Ray Serve, `remote_studio` is its other end.
"""
