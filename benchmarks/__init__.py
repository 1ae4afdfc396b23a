"""Measurements that the documentation quotes; each module runs as `python -m benchmarks.NAME`."""
