"""Figures and tables of what a study's data is like: MAGPIE's, beside the numbers that it prints."""
