"""Multi-label heads: pooled features of a frozen backbone, and one linear layer fitted on them."""
