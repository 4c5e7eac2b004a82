"""WILDCHAT-50M: the evidence, and the checks of its claims."""
