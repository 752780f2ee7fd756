"""What is stored, over HTTP."""
