"""How fast models answered (section 2.2 of the paper)."""
