"""The first guess: rows predicted from pictures in one pass, before any learning.

Owns the network, how it is trained through a frozen base model, how it is measured on concepts that it has not seen,
and the file that it is kept in. Does not know manifests, jobs, nor who asks. Open `network` first, then `training`.
"""
