"""The service on a person's own machine: `textinv up | down`, `textinv serve up | down | status`.

Owns the process that keeps it, with a Ray of its own on loopback. Knows no routes. Begin with `lifecycle`; `everything`
is the store, the service and the workers together.
"""
