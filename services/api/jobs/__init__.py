"""Teaching over HTTP: training pictures, `/v1/jobs`, and `/v1/fleet` for operators.

Owns JSON and events of jobs. What is learned how is not known here. Begin with `submission`, then `jobs`.
"""
