"""Load a classifier, find its last spatial feature map, and split it there."""
