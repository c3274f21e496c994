"""What `scripts/compare_peers.py` compares: our methods and judging with how users of other libraries do the same."""
