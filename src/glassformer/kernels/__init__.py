"""Compute kernels in the SIMD language, one operation per file."""
