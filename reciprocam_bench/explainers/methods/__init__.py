"""CAM methods: one file per method, one function per file."""
