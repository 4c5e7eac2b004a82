#!/usr/bin/env bash
# Fine-tuning on one NVIDIA GPU: the paper's recipe, rendered and trained as the rules do it, on a randomly initialised
# Llama of 1.2 billion parameters for a few steps; tokens per second and memory.
#
#   benchmarks/gpu/sft.sh                 needs .envs/axolotl (rewild build-env envs/axolotl.txt .envs/axolotl), one GPU
#   PYTHON=path benchmarks/gpu/sft.sh     with another Python that has Axolotl
#   benchmarks/gpu/sft.sh --small         the same on a CPU with a tiny shape: tries the script itself
set -euo pipefail
cd "$(dirname "$0")/../.."
small=; for word in "$@"; do [ "$word" = --small ] && small=-cpu; done
PYTHON=${PYTHON:-.envs/axolotl$small/bin/python}
[ -x "$PYTHON" ] || PYTHON=$(command -v python3)
PYTHONPATH="workflow:tests/engine${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" benchmarks/gpu/sft.py "$@"
