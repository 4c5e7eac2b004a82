"""Figures. Every one is drawn within :func:`rewild.core.plotting.style` and written by its ``save``."""
