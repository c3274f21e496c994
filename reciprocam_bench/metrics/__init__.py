"""Metrics: one file per metric, one function per file."""
