"""A page to read responses side by side: static files that need neither server nor network."""
