"""Judged benchmarks: answers to their questions, judgments of the answers, scores; files between them."""
