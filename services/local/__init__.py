"""A service on this machine: a keeper process holds a Ray of its own; `textinv serve` starts, finds and stops it."""
