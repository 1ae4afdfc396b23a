"""Studies: theory on grids, described by files, with simulated networks beside it."""

from .execution import Results, run, run_study
from .reading import load, parse
from .simulation import find_simulator, simulation_table
from .study import Output, Simulation, Study

__all__ = ["Output", "Results", "Simulation", "Study", "find_simulator", "load", "parse", "run", "run_study",
           "simulation_table"]
