"""Metrics: what they may ask for, and how they are registered."""
