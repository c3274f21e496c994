"""Fair timing: warm-up, interleaved rounds, synchronised clocks, medians and ratios with intervals."""
