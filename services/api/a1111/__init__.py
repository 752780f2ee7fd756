"""The part of A1111's API that image clients call (`/sdapi/v1`). `<name>` works here too, and so do bare names.

Owns A1111's fields, words and answers; drawing is that of `services.api.images`. Begin with `draw`.
"""
