"""What a study costs, whether it can start, the cluster, the environments, and the demo's own models."""
