"""Benchmark scores: the authors' released workbook, made tidy, and the averages over them."""
