"""``python -m reciprocam_bench`` is ``rcam-bench``."""

from reciprocam_bench.cli import main

if __name__ == "__main__":
    main()
