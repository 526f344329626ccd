"""Benchmarks: what Safelight does against other programs, side by side on one machine."""
