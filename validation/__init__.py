"""Actual networks beside the theory: simulated in plain NumPy at finite size, exactly as the theory defines them.

`python -m validation SLUG` runs the protocol of a theory; `compare(problem, samples)` judges a person's own runs.
"""

from .comparison import compare
from .report import Report

__all__ = ["Report", "compare"]
