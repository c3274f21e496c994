"""Plots of run folders: drawn by matplotlib from what `page` read, and by nothing else."""
