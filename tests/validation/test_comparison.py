"""The verdict on known numbers, and a person's own runs beside the theory."""

import csv
import dataclasses

import numpy as np
import pytest

from asymptotics import ParameterError, SpikedRandomFeatures, grid
from validation import compare, spiked_random_features
from validation.judgement import Row, judge
from validation.report import Control, Report

PROBLEM = SpikedRandomFeatures(activation="tanh", target="sin", spike_strength=1, alignment=0.9, alpha=[1.0, 2.0, 4.0],
                               lam=0.1, noise_var=0.1)
ROW = Row(setting="a", cell={}, group="a", observable="test_error", theory=2.0, simulation=2.0, standard_error=0.01,
          freedom=60, networks=61, precision=0.01)


def runs(problem, count=30, noise=0.02, bias=1.0, seed=0):
    """Made-up runs that scatter around the theory."""
    theory = np.asarray(problem.solve(["test_error"]).test_error)[..., None]
    scatter = 1 + noise * np.random.default_rng(seed).normal(size=(*theory.shape[:-1], count))
    return {"test_error": bias * theory * scatter}


def row(**changes):
    return dataclasses.replace(ROW, **changes)


def test_row():
    assert row(simulation=2.03).z == pytest.approx(3)
    assert row(simulation=2.03).relative(0.03) == pytest.approx(0.015)
    assert row(theory=0.0).relative(1.0) is not None and np.isnan(row(theory=0.0).relative(1.0))
    assert row(standard_error=0.0).z == 0
    assert row(standard_error=0.0, simulation=1.0).z == -np.inf
    assert row(standard_error=0.03).imprecise and not row(standard_error=0.02).imprecise
    assert not row(theory=0.0, standard_error=5.0).imprecise
    assert row(theory=np.inf).imprecise and np.isnan(row(theory=np.inf).z)


def test_judgement():
    good = [row(simulation=2 + 0.01 * z) for z in (-1.5, 0.3, 1.0)]
    assert judge(good).outcome == "passed"
    assert judge([*good, row(simulation=2.06)]).outcome == "failed"
    assert judge([*good, row(standard_error=0.05)]).outcome == "inconclusive"
    assert judge([*good, row(theory=np.nan)]).outcome == "inconclusive"
    assert judge([*good, row(simulation=2.06), row(standard_error=0.05)]).outcome == "failed"
    assert judge([row(standard_error=0.0, simulation=1.0)]).outcome == "failed"
    assert judge([row(theory=np.nan)]).outcome == "inconclusive"
    assert judge([]).outcome == "inconclusive"


def test_many_small_deviations_fail_by_their_rms():
    shifted = [row(simulation=2.02, group=group) for group in range(40)]
    assert max(abs(each.z) for each in shifted) < min(judge(shifted).allowed_z)
    assert judge(shifted).outcome == "failed"
    # the same rows from the same networks may be one fluctuation
    assert judge([row(simulation=2.02)] * 40).outcome == "passed"


def test_false_alarms_are_as_rare_as_stated():
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(2000):
        rows = [row(simulation=2 + 0.01 * rng.standard_t(11), group=group, freedom=11) for group in range(20)]
        failed += judge(rows, level=0.05).outcome == "failed"
    assert failed / 2000 == pytest.approx(0.05, abs=0.02)


def test_compare():
    report = compare(PROBLEM, runs(PROBLEM))
    assert report.passed
    assert [each.cell for each in report.rows] == [{"alpha": alpha} for alpha in (1.0, 2.0, 4.0)]
    theory = PROBLEM.solve(["test_error"]).test_error
    np.testing.assert_array_equal([each.theory for each in report.rows], theory)
    samples = runs(PROBLEM)["test_error"]
    np.testing.assert_allclose([each.simulation for each in report.rows], samples.mean(axis=-1))
    assert report.rows[0].setting == "tanh/sin"
    text = str(report)
    assert "outcome: passed" in text and "allowed" in text


@pytest.mark.parametrize("bias", [0.97, 1.03])
def test_compare_rejects_three_per_cent(bias):
    assert compare(PROBLEM, runs(PROBLEM, bias=bias)).outcome == "failed"


def test_compare_noisy_runs():
    assert compare(PROBLEM, runs(PROBLEM, noise=0.3)).outcome == "inconclusive"
    assert compare(PROBLEM, runs(PROBLEM, noise=0.3), precision=0.1).outcome == "passed"
    assert compare(PROBLEM, runs(PROBLEM, noise=0.3), precision={"train_error": 0.01}).outcome == "passed"


def test_compare_labelled_and_scalar_problems():
    labelled = PROBLEM.replace(**grid(alpha=[1.0, 2.0], lam=[0.1, 1.0]))
    rows = compare(labelled, runs(labelled)).rows
    assert rows[1].cell == {"alpha": 1.0, "lam": 1.0}
    scalar = PROBLEM.replace(alpha=2.0)
    (only,) = compare(scalar, runs(scalar)).rows
    assert only.cell == {}


def test_compare_extrapolates_sizes():
    theory = PROBLEM.solve(["test_error"]).test_error[:, None]
    rng = np.random.default_rng(0)
    samples = {d: {"test_error": theory * (1 + 4 / d + 0.02 * rng.normal(size=(3, 60)))} for d in (100, 400)}
    report = compare(PROBLEM, samples)
    assert report.passed
    np.testing.assert_allclose([each.slope / each.theory for each in report.rows], 4, atol=1.5)
    assert compare(PROBLEM, samples[100]).outcome == "failed"


def test_compare_simulated_networks():
    """The example of docs/validation.md, with the simulator in the part of the person's own code."""
    problem = PROBLEM.replace(alpha=2.0, lam=[0.1, 1.0])
    networks = [spiked_random_features.simulate(problem, {"d": 150, "test": 3000}, seed) for seed in range(24)]
    samples = {name: np.stack([network[name] for network in networks], axis=-1) for name in networks[0]}
    report = compare(problem, samples, ["test_error", "train_error", "psi"], precision=0.1)
    assert report.passed, str(report)
    assert compare(problem.replace(spike_strength=0.6), samples, ["test_error"], precision=0.1).outcome == "failed"


def test_shared_networks():
    labelled = PROBLEM.replace(**grid(alpha=[1.0, 2.0], lam=[0.1, 1.0]))
    assert len({each.group for each in compare(labelled, runs(labelled)).rows}) == 1
    assert len({each.group for each in compare(labelled, runs(labelled), shared=["lam"]).rows}) == 2
    assert len({each.group for each in compare(labelled, runs(labelled), shared=[]).rows}) == 4


@pytest.mark.parametrize(("samples", "words"), [
    ({}, "must map observables"),
    ([1, 2], "must map observables"),
    ({"loss": np.ones((3, 5))}, "must contain observables"),
    ({"test_error": np.ones((2, 5))}, r"shape \(3, runs\), got \(2, 5\)"),
    ({"test_error": np.ones(3)}, "shape"),
    ({"test_error": np.ones((3, 1))}, "at least 2 runs"),
    ({"test_error": np.full((3, 4), np.nan)}, "must be finite"),
    ({"test_error": "many"}, "array of numbers"),
    ({100: {"test_error": np.ones((3, 4))}, "large": {"test_error": np.ones((3, 4))}}, "input dimensions"),
    ({100: {"test_error": np.ones((3, 4))}, 200: {"train_error": np.ones((3, 4))}}, "got none"),
])
def test_bad_samples(samples, words):
    with pytest.raises(ParameterError, match=words):
        compare(PROBLEM, samples)


@pytest.mark.parametrize(("options", "words"), [
    ({"observables": ["train_error"]}, "train_error"),
    ({"observables": []}, "at least one"),
    ({"level": 0.0}, "level"),
    ({"shared": ["lam"]}, "shared"),
])
def test_bad_options(options, words):
    with pytest.raises(ParameterError, match=words):
        compare(PROBLEM, runs(PROBLEM), **options)
    with pytest.raises(ParameterError, match="problem"):
        compare("giant-step", runs(PROBLEM))


def test_wrong_theories_must_be_rejected():
    rows = (row(simulation=2.005),)
    wrong = Control("3 % off", (row(simulation=2.005, theory=2.06),))
    right = Control("nothing wrong", rows)
    assert Report(title="", rows=rows, controls=(wrong,)).outcome == "passed"
    report = Report(title="", rows=rows, controls=(wrong, right))
    assert report.outcome == "inconclusive"
    assert "not rejected although wrong: nothing wrong" in str(report)


def test_files(tmp_path):
    report = compare(PROBLEM, runs(PROBLEM))
    report.to_csv(tmp_path / "table.csv")
    lines = [line for line in (tmp_path / "table.csv").read_text().splitlines() if not line.startswith("#")]
    table = list(csv.DictReader(lines))
    assert [float(line["z"]) for line in table] == [each.z for each in report.rows]
    assert {line["result"] for line in table} == {"passed"}
    figure = report.figure()
    deviations, quantiles = figure.axes
    assert "test error" in deviations.get_xlabel() and quantiles.get_ylabel() == "z"
