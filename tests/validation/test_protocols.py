"""The machinery can fail: wrong theories beside the quick protocol; runs that are killed and spread over workers."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from asymptotics import GiantStep, ParameterError, SpikedRandomFeatures
from validation import __main__ as command
from validation import concrete_features, engine, giant_step, spiked_random_features
from validation.engine import run
from validation.judgement import judge
from validation.protocols import Protocol, Setting

PROBLEM = SpikedRandomFeatures(activation="relu", target="sin", spike_strength=1, alignment=0.9, alpha=2,
                               lam=[0.1, 1.0])
TINY = Protocol(
    title="tiny", simulate=spiked_random_features.simulate, networks={8: 30, 16: 20}, test_points=50,
    precision={"test_error": 0.5},
    settings=(
        Setting(name="one", problem=PROBLEM, judged=("train_error",), beside={"more data": PROBLEM.replace(alpha=20)}),
        Setting(name="two", problem=PROBLEM.replace(activation="tanh"), judged=("train_error",),
                wrong={"alpha": PROBLEM.replace(activation="tanh", alpha=20), "values": {"train_error": [5.0, 5.0]}}),
    ),
    laws=(("two", "train_error"),), law_networks={8: 40, 12: 10},
)


@pytest.fixture(scope="module")
def quick():
    return run(spiked_random_features.protocol("quick"))


def test_quick_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert {control.name for control in quick.controls} == {
        "eta 10 % off", "published bulk variance", "centring dropped", "chi = 0 for Gaussian rows"}


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_quick_rejects_a_prediction_that_is_three_per_cent_off(quick, factor):
    def off(row):
        return dataclasses.replace(row, theory=factor * row.theory)

    everywhere = [off(row) if row.observable == "test_error" else row for row in quick.rows]
    assert judge(everywhere).outcome == "failed"
    # even in one cell of one setting only
    for i, row in enumerate(quick.rows):
        if row.observable == "test_error" and row.cell["lam"] == 1:
            assert judge([*quick.rows[:i], off(row), *quick.rows[i + 1:]]).outcome == "failed", row


def test_predictions_from_weights_pass_and_reject_every_wrong_theory():
    report = run(concrete_features.protocol("quick"))
    assert report.passed, str(report)
    assert {control.name for control in report.controls} == {"eta 10 % off", "isotropic bulk"}


@pytest.mark.parametrize("protocol", [spiked_random_features.protocol, giant_step.protocol])
def test_protocols_are_complete(protocol):
    full = protocol("full")
    names = [setting.name for setting in full.settings]
    assert len(set(names)) == len(names)
    assert {setting.name for setting in protocol("quick").settings} < set(names)
    assert {name for name, _ in full.laws} <= set(names)
    for setting in full.settings:
        for problem in (setting.problem, *setting.beside.values()):
            assert problem.solve(setting.judged).converged.all()
    controls = {name for setting in full.settings for name in setting.wrong}
    assert {"eta 10 % off", "published bulk variance", "centring dropped"} < controls


def test_wrong_spikes():
    problem = GiantStep(activation="relu", target="relu", alpha0=2, eta=1.5, alpha=2, lam=0.1, noise_var=0.05,
                        noise_var_step=0.2)
    wrong = giant_step.wrong_spikes(problem)
    c0, c1 = 1 / math.sqrt(2 * math.pi), 0.5
    s2 = 0.5 - c1**2
    assert wrong["published bulk variance"]["bulk_variance"] == pytest.approx(1 + 1.5**2 * s2 * 0.5 / 2)
    norm = math.sqrt(0.25 + (0.5 + 0.2) / 2)  # E y^2 = E relu^2 + noise, without centring
    c2 = 1 / (2 * math.sqrt(math.pi))
    dropped = wrong["centring dropped"]
    assert dropped["spike_strength"] == pytest.approx(1.5 * c1 * norm)
    assert dropped["alignment"] == pytest.approx(0.5 / norm)
    assert dropped["bulk_variance"] == pytest.approx((1 + math.sqrt(2) * 1.5 * c2 * c0) ** 2 + 1.5**2 * s2 * 0.7 / 2)
    assert set(giant_step.wrong_spikes(problem.replace(activation="tanh", target="sin", noise_var_step=0))) == {
        "eta 10 % off"}


def test_report_of_a_protocol():
    report = run(TINY, workers=1)
    assert [(row.setting, row.model, row.cell["lam"], row.judged) for row in report.rows] == [
        ("one", "", 0.1, True), ("one", "", 1.0, True),
        ("one", "more data", 0.1, False), ("one", "more data", 1.0, False),
        ("two", "", 0.1, True), ("two", "", 1.0, True)]
    assert [row.simulation for row in report.rows[2:4]] == [row.simulation for row in report.rows[:2]]
    assert "not judged (more data)" in str(report)
    assert {row.networks for row in report.rows} == {20}
    alpha, values = report.controls
    assert [row.theory for row in values.rows] == [5.0, 5.0]
    assert [row.simulation for row in alpha.rows] == [row.simulation for row in report.rows[-2:]]
    law = report.laws[0]
    assert law.sizes == (8, 12) and law.cell == {"lam": 0.1}
    networks = [spiked_random_features.simulate(TINY.setting("two").problem, {"d": 8, "test": 50},
                                                TINY.seed(0, ("two", 8), number)) for number in range(40)]
    theory = TINY.setting("two").problem.solve().train_error[0]
    mean = np.mean([network["train_error"][0] for network in networks])
    assert law.deviations[0] == pytest.approx(mean / theory - 1, rel=1e-9)
    assert "finite-size law" in str(report) and "20 networks of d = 16" in str(report)


def test_an_observable_of_the_weights_is_one_row():
    problem = GiantStep(activation="tanh", target="sin", alpha0=2, eta=1, alpha=2, lam=[0.1, 1.0])
    protocol = dataclasses.replace(
        TINY, simulate=giant_step.simulate, laws=(),
        settings=(Setting(name="a", problem=problem, judged=("alignment", "q2"),
                          wrong={"sign": {"alignment": [-0.9, -0.9]}}),))
    report = run(protocol, workers=1)
    assert [(row.observable, row.cell) for row in report.rows] == [
        ("alignment", {}), ("q2", {"lam": 0.1}), ("q2", {"lam": 1.0})]
    assert [row.theory for row in report.controls[0].rows] == [-0.9]


def test_entries_of_an_observable_with_axes():
    """Those that are named are judged and compared with wrong theories; what was not measured does not pass."""
    problem = SpikedRandomFeatures(activation="tanh", target="sin", spike_strength=1, alignment=0.9, alpha=2,
                                   lam=[0.1, 1.0], readout_levels=[1.0, -1.0], readout_fractions=[0.5, 0.5])
    right = problem.solve(["m", "train_error"]).values
    setting = Setting(name="a", problem=problem, judged=("m[1]", "train_error"), shown={"first level": ("m[0]",)},
                      wrong={"swapped": {"m": right["m"][:, ::-1]}, "sign": problem.replace(alignment=-0.9)})
    protocol = dataclasses.replace(TINY, settings=(setting,), laws=(("a", "m[1]"),))
    report = run(protocol, workers=1)
    assert [row.observable for row in report.judged] == ["m[1]", "m[1]", "train_error", "train_error"]
    assert [row.theory for row in report.judged[:2]] == right["m"][:, 1].tolist()
    assert [row.observable for row in report.reported] == ["m[0]", "m[0]"]
    assert [row.theory for row in report.controls[0].rows] == right["m"][:, 0].tolist()
    assert [row.observable for row in report.controls[1].rows] == ["m[1]", "m[1]", "train_error", "train_error"]
    assert {law.observable for law in report.laws} == {"m[1]"}
    missing = dataclasses.replace(report.judged[0], simulation=math.nan)
    assert judge([*report.judged[2:], missing]).outcome != "passed"


def negated(problem, sizes, seed):
    values = spiked_random_features.simulate(problem, sizes, seed)
    return {name: -value for name, value in values.items()}


def test_a_setting_with_its_own_simulator():
    other = dataclasses.replace(TINY.settings[0], name="other", simulate=negated)
    report = run(dataclasses.replace(TINY, settings=(TINY.settings[0], other), laws=()), workers=1)
    signs = {row.setting: np.sign(row.simulation) for row in report.judged}
    assert signs == {"one": 1, "other": -1}


def test_networks_do_not_depend_on_workers_or_other_settings():
    one, two = run(TINY, seed=5, workers=1), run(TINY, seed=5, workers=2)
    assert one.rows == two.rows
    alone = run(dataclasses.replace(TINY, settings=TINY.settings[1:]), seed=5, workers=1)
    assert alone.rows == one.rows[4:]
    assert run(TINY, seed=6, workers=1).rows != one.rows


def test_a_killed_run_continues(tmp_path):
    place = tmp_path / "store"
    whole = run(TINY, workers=1, store=place)
    tiles = sorted((place / "tiles").iterdir())
    before = {tile: tile.read_bytes() for tile in tiles}
    networks = [entry for entry in log(place) if entry["event"] == "finished"]
    assert len(networks) == len(tiles) == len(engine.Networks(TINY, 0))
    tiles[0].unlink()
    tiles[-1].write_bytes(before[tiles[-1]][:-100])  # cut short
    assert run(TINY, workers=1, store=place).rows == whole.rows
    assert {tile: tile.read_bytes() for tile in sorted((place / "tiles").iterdir())} == before
    again = [entry["file"] for entry in log(place) if entry["event"] == "finished"][len(networks):]
    assert sorted(again) == [tiles[0].name, tiles[-1].name]
    assert run(TINY, workers=1, store=place).rows == whole.rows
    assert len([entry for entry in log(place) if entry["event"] == "finished"]) == len(networks) + 2


def log(place):
    return [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]


def test_more_networks_later_continue_too(tmp_path):
    fewer = dataclasses.replace(TINY, networks={8: 20, 16: 10}, laws=())
    run(fewer, workers=1, store=tmp_path)
    assert run(TINY, workers=1, store=tmp_path).rows == run(TINY, workers=1).rows


def test_a_foreign_store_is_left_alone(tmp_path):
    run(TINY, workers=1, store=tmp_path / "store")
    before = (tmp_path / "store" / "study.json").read_bytes()
    with pytest.raises(ParameterError, match="belongs to another study"):
        run(TINY, seed=1, workers=1, store=tmp_path / "store")
    assert (tmp_path / "store" / "study.json").read_bytes() == before
    with pytest.raises(ParameterError, match="is not a store: it holds store"):
        run(TINY, workers=1, store=tmp_path)


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 0.5}, {"workers": 0}, {"workers": True}])
def test_bad_options(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        run(TINY, **options)


@pytest.fixture
def tiny_command(monkeypatch):
    monkeypatch.setitem(command.PROTOCOLS, "tiny", lambda size: TINY)


def test_command(tmp_path, capsys, tiny_command):
    place = tmp_path / "new" / "report"
    code = command.main(["tiny", "--report", str(place), "--workers", "1"])
    shown = capsys.readouterr().out
    assert code == (0 if "outcome: passed" in shown else 1)
    assert {path.name for path in place.iterdir()} == {f"tiny-quick{end}" for end in (
        ".csv", ".txt", ".png", ".store")}
    assert (place / "tiny-quick.txt").read_text().strip() in shown
    assert json.loads((place / "tiny-quick.store" / "study.json").read_text())["seed"] == 0


def test_command_fails_with_a_wrong_theory(capsys, monkeypatch):
    setting = Setting(name="two", problem=PROBLEM.replace(alpha=20), judged=("train_error",))
    right = dataclasses.replace(TINY, laws=(), settings=(setting,))

    def simulate(problem, sizes, seed):
        return spiked_random_features.simulate(problem.replace(alpha=2), sizes, seed)

    monkeypatch.setitem(command.PROTOCOLS, "wrong", lambda size: dataclasses.replace(right, simulate=simulate))
    # a local function cannot be sent to other processes
    monkeypatch.setattr(engine, "Pool", lambda workers: engine_threads())
    assert command.main(["wrong", "--workers", "1"]) == 1
    assert "outcome: failed" in capsys.readouterr().out


def engine_threads():
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)


@pytest.mark.parametrize(("arguments", "words"), [
    (["giant-steps"], "did you mean 'giant-step'"),
    ([], "required: SLUG"),
    (["tiny", "--size", "huge"], "--size"),
    (["tiny", "--seed", "-1"], "seed: must be a whole number >= 0, got -1"),
    (["tiny", "--workers", "0"], "workers"),
    (["tiny", "--report", "/dev/null/report"], "--report"),
])
def test_bad_commands(arguments, words, capsys, tiny_command):
    assert command.main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("error: ") and error.count("\n") == 1
    assert words in error


def test_command_as_a_process():
    done = subprocess.run([sys.executable, "-m", "validation", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    known = ", ".join(command.PROTOCOLS)
    assert done.stderr == f"error: SLUG: 'nothing' has no protocol ({known})\n"
