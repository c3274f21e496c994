"""The page of run folders: one self-contained HTML file."""
