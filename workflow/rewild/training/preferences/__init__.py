"""Preference pairs: several answers to a prompt are scored, the best and the worst are kept."""
