"""Drawing over HTTP with Ray Serve."""
