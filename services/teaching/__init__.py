"""Jobs as HTTP sees them: listing and following them, and seeing to a driver of the fleet that learns.

Owns what one front remembers of jobs; records and their changes are `textinv.jobs`. Knows no HTTP. Begin with
`learning`, all of it in one object.
"""
