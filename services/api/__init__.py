"""HTTP and nothing else: routes, bodies, answers and errors.

Owns what callers see. What routes work with they find in `services.desk`; how pictures are made and who learns is not
known here. Begin with `app`, which lists all routes.
"""
