"""Drawing over HTTP, in OpenAI's shape with our fields: `/v1/images/...` and `/v1/prompts`.

Owns the way from a body to a `GenerateRequest` and from pictures to an answer. Begin with `generations`; `edits`
differs by the picture that it starts from.
"""
