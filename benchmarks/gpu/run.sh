#!/usr/bin/env bash
# 25 minutes on one NVIDIA GPU, without a network: every measurement of this folder in order, each under its own time
# limit, into one JSON that is written as results come. docs/gpu.md says what a machine needs, and what was found.
#
#   benchmarks/gpu/run.sh                        all of it → logs/gpu/gpu.json
#   benchmarks/gpu/run.sh plan sft               some of it; what the file says of the others stays
#   benchmarks/gpu/run.sh --out FOLDER --list    what would run, with which Python, for how long at most
#   benchmarks/gpu/run.sh --small                the same with tiny shapes on a CPU: tries the scripts
#   PYTHON=path benchmarks/gpu/run.sh            one Python that has everything, in place of those in .envs
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONSAFEPATH=1 # benchmarks/gpu/lm_eval.py is not the package lm_eval
export PYTHONPATH="workflow:benchmarks:tests/engine${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-$(command -v .venv/bin/python || command -v python3)}" benchmarks/gpu/run.py "$@"
