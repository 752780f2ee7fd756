"""Training spread over a cluster with Ray Train, and what operators deploy."""
