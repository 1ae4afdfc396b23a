"""Studies: theory on grids, described by files, with simulated networks beside it."""

from .engine import Interrupted, WorkerError
from .execution import Results, run_study
from .executors import Pool
from .reading import load, parse
from .simulation import find_simulator, simulation_table
from .study import Output, Run, Simulation, Study
from .theory import run

__all__ = ["Interrupted", "Output", "Pool", "Results", "Run", "Simulation", "Study", "WorkerError", "find_simulator",
           "load", "parse", "run", "run_study", "simulation_table"]
