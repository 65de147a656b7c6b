"""Benchmarks: an asv suite, and `compare.py`, which measures creg beside scikit-learn."""
