"""Weights that decay, or whose target changes, beside the closed form; theories that must be rejected."""

import numpy as np
import pytest

from asymptotics import LinearNetworkCurriculum, LinearNetworkDecay, ParameterError
from validation import linear_network_extensions as extensions
from validation.engine import run
from validation.judgement import against, judge
from validation.linear_network import OBSERVABLES

CASE = dict(u=(0.5, -0.2, 0.1), w=(0.3, 0.4, -0.6))


@pytest.mark.parametrize(("protocol", "settings", "wrong"), [
    (extensions.decay_protocol, extensions.decay_settings, extensions.wrong_decays),
    (extensions.curriculum_protocol, extensions.curriculum_settings, extensions.wrong_curricula),
], ids=["decay", "curriculum"])
def test_quick_passes_and_rejects_every_wrong_theory(protocol, settings, wrong):
    report = run(protocol("quick"), workers=1)
    assert report.passed, str(report)
    assert len(report.controls) == 6 and all(row.bounded for row in report.judged)
    for words, exponent, tolerance in ((False, -4, 0.1), (True, -1, 0.02)):
        found = [law.exponent for law in report.laws if ("descent" in law.setting) == words]
        assert found and np.allclose(found, exponent, atol=tolerance)
    # each network alone rejects them too
    for setting in settings("quick"):
        if "descent" not in setting.name:
            rows = [row for row in report.judged if row.setting == setting.name]
            for error, theory in wrong(setting.problem).items():
                values = theory if isinstance(theory, dict) else theory.solve(extensions.JUDGED).values
                assert judge(against(rows, values)).outcome == "failed", (setting.name, error)


def test_full_contains_quick():
    for settings in (extensions.decay_settings, extensions.curriculum_settings):
        quick, full = ({setting.name for setting in settings(size)} for size in ("quick", "full"))
        assert quick < full
        assert all(setting.problem.solve().converged.all() for setting in settings("full"))


def test_simulated_decay():
    """Case A of the reference table, mu = 0.1, t = 2."""
    problem = LinearNetworkDecay(**CASE, target_coefficient=1, weight_decay=0.1, t=[2.0, 0.5])
    values = extensions.simulate_decay(problem, {}, 0)
    assert set(values) == set(OBSERVABLES)
    assert values["coefficient"][0] == pytest.approx(0.8573425768701, rel=3e-5)
    assert values["ntk"][0] == pytest.approx(1.81990515139, rel=3e-5)
    theory = problem.solve(OBSERVABLES).values
    for name in OBSERVABLES:
        assert values[name] == pytest.approx(theory[name], rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("t", [[0.5, 1.0, 1.5, 9.0], [9.0, 0.0, 1.0], 1.0])
def test_simulated_curriculum(t):
    problem = LinearNetworkCurriculum(**CASE, targets=[1.0, -1.5, 0.5], switch_times=[1.0, 2.0], t=t)
    values, theory = extensions.simulate_curriculum(problem, {}, 0), problem.solve(OBSERVABLES).values
    for name in OBSERVABLES:
        assert np.shape(values[name]) == problem.shape
        assert values[name] == pytest.approx(theory[name], rel=2e-4, abs=2e-4), name
    exact = extensions.integrate_curriculum(problem, {"d": 200})
    assert exact["coefficient"] == pytest.approx(theory["coefficient"], abs=1e-9)
    assert extensions.descend_curriculum(problem, {"d": 400})["ntk"] == pytest.approx(theory["ntk"], rel=3e-2)


def test_bad_simulations():
    problem = LinearNetworkCurriculum(**CASE, targets=[1.0, -1.5], switch_times=[1.0], t=2.0)
    for changed, sizes, words in (
        (problem, {"d": 3}, "d: is not a size"), (problem.replace(t=1e9), {}, "t: needs more"),
        (problem.replace(m2=[1.0, 2.0]), {}, "m2: must be one value"),
    ):
        with pytest.raises(ParameterError, match=words):
            extensions.simulate_curriculum(changed, sizes, 0)
