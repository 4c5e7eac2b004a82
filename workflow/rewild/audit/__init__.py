"""The audit: which of a paper's statements its own tables and released files bear out. It knows no paper.

A paper's ``claims.yaml`` says what is claimed and where; a check of its room (``checks_*.py``) computes the
verdict from ``evidence``; ``report`` writes it down so that a reader can check it by hand.
"""
