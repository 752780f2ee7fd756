"""Teaching over HTTP."""
