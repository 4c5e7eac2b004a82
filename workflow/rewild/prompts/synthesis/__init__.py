"""Prompts that a model writes: asked for, checked, counted, and laid down as a source like any other."""
