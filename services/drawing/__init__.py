"""Who draws: studios and replicas."""
