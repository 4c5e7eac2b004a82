"""rewild: the science of the pipeline. Nothing here imports Snakemake; every command works by hand."""

from pathlib import Path

__version__ = "0.1.0"
FOLDER = Path(__file__).resolve().parents[1]
"""What ``PYTHONPATH`` needs for another Python to find this package."""
