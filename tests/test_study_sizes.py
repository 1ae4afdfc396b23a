"""Which simulations of a study need an input dimension d."""

import numpy as np
import pytest

from asymptotics import ParameterError, studies
from asymptotics.theories import THEORIES

STUDY = """theory = "linear-network"
[parameters]
u = [0.5, -0.2]
w = [0.3, 0.4]
target_coefficient = 1.0
[axes]
t = [0.1, 1.0, 3.0]
[output]
observables = ["ntk", "coefficient"]
[simulation]
seeds = 2
points = { t = [0.1, 3.0] }
"""


def test_networks_whose_sizes_are_parameters_take_none(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    found = studies.run_study(studies.load(path), tmp_path).simulation
    assert np.allclose(found.ntk, found.ntk_theory, rtol=1e-4)
    assert np.allclose(found.coefficient, found.coefficient_theory, rtol=1e-4)
    path.write_text(f"{STUDY}d = 10\n")
    with pytest.raises(ParameterError, match="must be left out: linear-network has its sizes as parameters"):
        studies.load(path)


def test_limits_need_one():
    limits = {slug for slug, theory in THEORIES.items() if theory.is_limit}
    assert {"giant-step", "spiked-random-features", "concrete-features"} <= limits
    assert not {slug for slug in limits if slug in ("polynomial-spikes", "linear-network", "power-network")}
