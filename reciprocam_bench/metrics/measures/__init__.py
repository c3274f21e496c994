"""The metrics that are shipped: one file per metric (or per family of one rule), all of it in that file."""
