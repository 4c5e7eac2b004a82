"""The demo: models made from scratch on a CPU, so that the whole pipeline can run anywhere."""
