"""What a judge prefers, and in which words (section 3.3, Table 4 and Figures 3 and 4 of the paper)."""
