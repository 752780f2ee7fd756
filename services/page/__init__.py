"""The page at `/`: teach a word, watch it being learned, draw with it, find it again; and the fleet for operators.

Static files, served as they are: no build step, nothing from elsewhere. They speak only the public HTTP API. Owns which
files there are and the headers that keep what they show data. Begin with `files/index.html`; `routes` serves them.
"""
