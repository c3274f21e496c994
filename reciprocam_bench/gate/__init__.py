"""What ``rcam-bench check`` decides, and the formats it speaks."""
