"""Jobs seen from HTTP."""
