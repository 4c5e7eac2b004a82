"""Ground-truth benchmarks: runs answer them in lm-eval, and the results become scores."""
