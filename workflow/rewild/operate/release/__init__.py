"""Results as folders that are ready for the hub, and gates before anything leaves."""
