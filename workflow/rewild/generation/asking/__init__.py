"""Asking a judge or a labeller: budget, requests, replies, verdicts, and a store of what was paid for."""
