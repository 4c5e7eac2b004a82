"""Markdown styling of responses (section 3.2 and Table 3 of the paper)."""
