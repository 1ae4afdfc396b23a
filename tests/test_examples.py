"""The examples in Python, on small networks; the studies are loaded by tests/test_cli.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "optimal_step.py": (["--d", "60", "--networks", "6"], "optimal_step_minima.png", 3, 1),
    "polynomial_phases.py": (["--scale", "0.3", "--networks", "6"], "polynomial_phases.png", 4, 1),
    "linear_trajectory.py": (["--p", "20"], "linear_trajectory.png", 3, 1),
    "inputs_in_many_dimensions.py": (["--p", "50"], "inputs_in_many_dimensions.png", 3, 1),
    "init_lottery.py": (["--networks", "60"], "init_lottery.png", 6, 1),
    "catapult.py": (["--p", "100"], "catapult.png", 5, 1),
    "weight_decay.py": (["--p", "20"], "weight_decay.png", 5, 1),
    "other_losses.py": (["--p", "5", "--samples", "15"], "other_losses.png", 8, 1),
    "structured_features.py": (["--scale", "0.4", "--networks", "5"], "structured_features.png", 18, 1),
    "real_data.py": (["--splits", "60"], "real_data.png", 8, 1),
    "bring_your_own_weights.py": (["--d", "100", "--sets", "8"], "bring_your_own_weights.png", 20, 2),
}


def test_every_example_is_here():
    assert set(EXAMPLES) == {path.name for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_and_agree_with_the_networks(name, tmp_path):
    options, figure, rows, columns = EXAMPLES[name]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name), *options, "--output-dir", str(tmp_path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    scores = [float(score) for score in re.findall(r"[+-]\d+\.\d(?!\d)", done.stdout)]
    assert len(scores) == rows * columns
    assert max(map(abs, scores)) < 5
