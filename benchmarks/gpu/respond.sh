#!/usr/bin/env bash
# Generation on one NVIDIA GPU: a randomly initialised model of the shape of Llama-3.1-8B in bf16, through the
# transformers engine; tokens per second and memory, beside what the engine plan predicts for this GPU.
#
#   benchmarks/gpu/respond.sh                 needs one GPU, and a Python with torch, transformers, pydantic, pyyaml
#   PYTHON=path benchmarks/gpu/respond.sh     with another Python
#   benchmarks/gpu/respond.sh --small         the same on a CPU with a tiny shape: tries the script itself
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-$(command -v .envs/engine-cpu/bin/python || command -v python3)}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and sys.executable + " is older than Python 3.11")'
PYTHONPATH="workflow:tests/engine${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" benchmarks/gpu/respond.py "$@"
