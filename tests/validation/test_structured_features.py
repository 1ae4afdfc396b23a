"""Readouts of frozen features: the simulators beside small direct computations, the protocol, and real data."""

import dataclasses
import math
import sys

import numpy as np
import pytest
from scipy import optimize, special

from asymptotics import FeatureClassification, FeatureRidge, ParameterError, RainbowNetwork
from asymptotics.studies import simulation
from validation import networks, real_data
from validation import structured_features as simulators
from validation import structured_features_protocol as protocols
from validation import structured_networks as deep
from validation.engine import run
from validation.judgement import judge

RIDGE = FeatureRidge(eigenvalues=[4, 1, 0.25], multiplicities=[2, 4, 4], target_weights=[2, 0.3, 0.05],
                     residual_variance=0.2, n=8, lam=[0.5, 5.0])
RAINBOW = RainbowNetwork(activations=["tanh", "erf(x/sqrt(2))"], widths=[9, 7], d=8, n=12, lam=[0.1, 1.0],
                         label_second_moment=2.1, signal=2.0)
CLASSES = FeatureClassification(loss="logistic", labels="logit", eigenvalues=[4, 1], multiplicities=[3, 6],
                                target_weights=[2, 0.3], rho=1.2, n=20, lam=[0.3, 3.0])
LAYERS = FeatureClassification(loss="hinge", labels="sign", activations=["tanh", "tanh"], widths=[9, 7], d=8, rho=1.5,
                               n=20, lam=2.0)
CONTROLS = {"n 10 % off", "n lam instead of lam", "bias at fixed design", "ks2 dropped", "mean of relu not subtracted",
            "n 10 % off (classification)", "lam instead of lam/2"}


def samples(n, p, seed=0):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, p)) * np.linspace(0.5, 2, p)
    return F, F @ rng.standard_normal(p) + 0.5 * rng.standard_normal(n)


# ---- networks and readouts


def test_deep_network():
    rng = np.random.default_rng(0)
    network = deep.random_network(300, [400, 200], ["tanh", "relu"], rng)
    assert [weights.shape for weights in network.weights] == [(400, 300), (200, 400)]
    for weights in network.weights:
        assert np.var(weights) == pytest.approx(1 / weights.shape[1], rel=0.02)
    X = rng.standard_normal((5, 300))
    direct = [np.maximum(0, network.weights[1] @ np.tanh(network.weights[0] @ x)) for x in X]
    np.testing.assert_allclose(network.features(X), direct, rtol=1e-12, atol=1e-14)  # sums of numbers of order 1
    readouts = rng.standard_normal((3, 200))
    np.testing.assert_allclose(network.outputs(readouts, X), readouts @ np.transpose(direct), rtol=1e-12)
    np.testing.assert_allclose(network.means(X), np.mean(direct, axis=0), rtol=1e-12)


def test_outputs_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    network = deep.random_network(4, [6], ["tanh"], rng)
    X, readouts = rng.standard_normal((11, 4)), rng.standard_normal((2, 3, 6))
    whole = network.outputs(readouts, X), network.means(X)
    monkeypatch.setattr(deep, "BLOCK_ENTRIES", 20)
    assert whole[0].shape == (2, 3, 11)
    np.testing.assert_allclose(network.outputs(readouts, X), whole[0], rtol=1e-12)
    np.testing.assert_allclose(network.means(X), whole[1], rtol=1e-12)


@pytest.mark.parametrize(("n", "p"), [(12, 5), (5, 12)])
def test_ridge(n, p):
    F, y = samples(n, p)
    fit = deep.ridge(F, y, [0.0, 0.3, 2.0])
    np.testing.assert_allclose(fit.readouts[0], np.linalg.pinv(F) @ y, rtol=1e-9)
    for readout, kappa, lam in list(zip(fit.readouts, fit.effective_ridge, [0.0, 0.3, 2.0], strict=True))[1:]:
        inverse = np.linalg.inv(F.T @ F + lam * np.eye(p))
        np.testing.assert_allclose(readout, inverse @ F.T @ y, rtol=1e-9)
        assert kappa == pytest.approx(lam / np.trace(np.eye(n) - F @ inverse @ F.T))
    assert fit.effective_ridge[0] == pytest.approx(0 if p <= n else 1 / np.trace(np.linalg.inv(F @ F.T)))


@pytest.mark.parametrize(("n", "p"), [(12, 5), (5, 12)])
def test_ridge_with_intercept(n, p):
    F, y = samples(n, p)
    F, y = F + 1, y + 3
    fit = deep.ridge(F, y, [0.7], intercept=True)
    with_one = np.column_stack([F, np.ones(n)])
    direct = np.linalg.solve(with_one.T @ with_one + np.diag([0.7] * p + [0.0]), with_one.T @ y)
    np.testing.assert_allclose([*fit.readouts[0], *fit.intercepts], direct, rtol=1e-9)


@pytest.mark.parametrize("loss", ["logistic", "square"])
@pytest.mark.parametrize(("n", "p"), [(30, 6), (6, 10)])
@pytest.mark.parametrize("lam", [1e-3, 1.0])
def test_smooth_classifiers(loss, n, p, lam):
    F, y = samples(n, p)
    y = np.sign(y)

    def objective(w):
        margins = y * (F @ w)
        values = np.log1p(np.exp(-margins)) if loss == "logistic" else (1 - margins) ** 2 / 2
        return np.sum(values) + lam / 2 * (w @ w)

    readout = deep.train(loss, F, y, lam)
    slopes = -special.expit(-y * (F @ readout)) if loss == "logistic" else y * (F @ readout) - 1
    assert np.linalg.norm((y * slopes) @ F + lam * readout) < 1e-8
    best = optimize.minimize(objective, np.zeros(p), method="BFGS", options={"gtol": 1e-7})
    assert objective(readout) <= best.fun * (1 + 1e-9)
    assert np.sum(deep.losses(loss, y * (F @ readout))) + lam / 2 * (readout @ readout) == pytest.approx(
        objective(readout))


@pytest.mark.parametrize(("n", "p"), [(14, 3), (4, 6)])
@pytest.mark.parametrize("lam", [0.05, 1.0, 50.0])
def test_hinge(n, p, lam):
    """Against the quadratic program with one slack a sample, min sum xi + lam |w|^2/2."""
    F, y = samples(n, p)
    y = np.sign(y + np.random.default_rng(1).standard_normal(n))
    found = optimize.minimize(
        lambda v: np.sum(v[p:]) + lam / 2 * (v[:p] @ v[:p]), np.r_[np.zeros(p), np.ones(n)], method="SLSQP",
        bounds=[(None, None)] * p + [(0, None)] * n, options={"ftol": 1e-14, "maxiter": 1000},
        constraints={"type": "ineq", "fun": lambda v: y * (F @ v[:p]) - 1 + v[p:]},
    )
    readout = deep.train("hinge", F, y, lam)
    objective = np.sum(deep.losses("hinge", y * (F @ readout))) + lam / 2 * (readout @ readout)
    assert objective == pytest.approx(found.fun, rel=1e-6)
    np.testing.assert_allclose(readout, found.x[:p], atol=2e-3)


def test_labels():
    rng = np.random.default_rng(0)
    nu = np.linspace(-2, 2, 9)
    np.testing.assert_array_equal(deep.labels("sign", nu[nu != 0], rng), np.sign(nu[nu != 0]))
    for kind, probability in (("logit", special.expit(nu)), ("probit", special.ndtr(nu))):
        mean = np.mean([deep.labels(kind, nu, rng) for _ in range(4000)], axis=0)
        np.testing.assert_allclose((1 + mean) / 2, probability, atol=0.03)


# ---- simulators


def test_gaussian_features():
    features = simulators.gaussian_features(RIDGE)
    np.testing.assert_allclose(features.deviations**2, [4] * 2 + [1] * 4 + [0.25] * 4)
    by_group = np.add.reduceat(features.signal**2, [0, 2, 6])
    np.testing.assert_allclose(by_group, [2, 0.3, 0.05])
    F = features.sample(100_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.var(F, axis=0), features.deviations**2, rtol=0.03)


def test_ridge_on_gaussian_features():
    """Two training sets, with the generators of the simulator; the errors with the covariance written out."""
    values = simulators.simulate_ridge(RIDGE, {}, 3)
    s = np.repeat([4, 1, 0.25], [2, 4, 4])
    beta = np.repeat([math.sqrt(2 / 2) / 4, math.sqrt(0.3 / 4), math.sqrt(0.05 / 4) / 0.25], [2, 4, 4])
    sets = []
    for rng in networks.generators(3, 2):
        F = np.sqrt(s) * rng.standard_normal((8, 10))
        y = F @ beta + math.sqrt(0.2) * rng.standard_normal(8)
        sets.append((F, y, [np.linalg.solve(F.T @ F + lam * np.eye(10), F.T @ y) for lam in (0.5, 5.0)]))
    for i, lam in enumerate((0.5, 5.0)):
        first, second = (readouts[i] - beta for _, _, readouts in sets)
        error = ((first * s) @ first + (second * s) @ second) / 2
        train = np.mean([np.mean((y - F @ readouts[i]) ** 2) for F, y, readouts in sets])
        norm = np.mean([readouts[i] @ readouts[i] for _, _, readouts in sets])
        assert values["test_error"][i] == pytest.approx(error + 0.2)
        assert values["bias"][i] == pytest.approx((first * s) @ second)
        assert values["variance"][i] == pytest.approx(error - (first * s) @ second)
        assert values["train_error"][i] == pytest.approx(train)
        assert values["weight_norm"][i] == pytest.approx(norm)
        assert values["ridge_objective"][i] == pytest.approx(train + lam * norm / 8)
        assert values["df1"][i] < 8 and values["effective_ridge"][i] > lam / 8


def test_ridge_on_a_deep_network():
    values = simulators.simulate_rainbow(RAINBOW, {"test": 50}, 3)
    weights_rng, *data_rngs, test_rng = networks.generators(3, 4)
    target = math.sqrt(2) * networks.unit_vector(8, weights_rng)
    first, second = weights_rng.standard_normal((9, 8)) / math.sqrt(8), weights_rng.standard_normal((7, 9)) / 3

    def features(X):
        return special.erf(np.tanh(X @ first.T) @ second.T / math.sqrt(2))

    readouts, train = [], []
    for rng in data_rngs:
        X = rng.standard_normal((12, 8))
        y = X @ target + math.sqrt(0.1) * rng.standard_normal(12)
        readouts.append(np.linalg.solve(features(X).T @ features(X) + np.eye(7), features(X).T @ y))
        train.append(np.mean((y - features(X) @ readouts[-1]) ** 2))
    X = test_rng.standard_normal((50, 8))
    errors = [X @ target - features(X) @ readout for readout in readouts]
    assert values["test_error"][1] == pytest.approx(0.1 + np.mean(np.square(errors)))
    assert values["variance"][1] == pytest.approx(np.mean((errors[0] - errors[1]) ** 2) / 2)
    assert values["train_error"][1] == pytest.approx(np.mean(train))


def test_features_with_a_mean_have_an_intercept():
    problem = RAINBOW.replace(activations=["tanh", "relu"])
    assert simulators.is_centred(RAINBOW) and not simulators.is_centred(problem)
    found, lifted = (simulators.simulate_rainbow(problem.replace(activations=["tanh", last]), {"test": 50}, 0)
                     for last in ("relu", "relu(x) + 5"))
    for name, value in found.items():
        np.testing.assert_allclose(value, lifted[name], rtol=1e-9, err_msg=name)
    bare = simulators.rainbow(problem, {"test": 50}, 0).measured
    assert np.all(bare["test_error"] != found["test_error"])


def test_structured_inputs():
    """Scaled inputs are a scaled first layer; the target is in one part of them."""
    problem = RainbowNetwork(activations=["tanh"], widths=[300], d=200, n=260, lam=3.0, label_second_moment=1.5,
                             input_eigenvalues=[4, 0.5], input_multiplicities=[50, 150], input_target_weights=[4, 0.1])
    runs = [simulators.simulate_rainbow(problem, {"test": 1000}, seed) for seed in range(24)]
    theory = problem.solve().values
    for name in ("test_error", "train_error", "effective_ridge"):
        values = [run[name] for run in runs]
        error = np.std(values) / math.sqrt(23)
        assert abs(np.mean(values) - theory[name]) < 4 * error + 0.01 * theory[name], name
    swapped = problem.replace(input_target_weights=[0, 0.6]).solve().test_error
    assert abs(swapped / theory["test_error"] - 1) > 0.1


def test_classification_on_gaussian_features():
    values = simulators.simulate_classification(CLASSES, {}, 3)
    (rng,) = networks.generators(3, 1)
    s, psi = np.repeat([4.0, 1.0], [3, 6]), np.sqrt(np.repeat([2 / 3, 0.3 / 6], [3, 6]))
    F = np.sqrt(s) * rng.standard_normal((20, 9))
    rest = 1.2 - 2 / 4 - 0.3
    nu = F @ (psi / s) + math.sqrt(rest) * rng.standard_normal(20)
    y = np.where(rng.random(20) < special.expit(nu), 1.0, -1.0)
    for i, lam in enumerate((0.3, 3.0)):
        readout = deep.train("logistic", F, y, lam)
        m, q = readout @ psi, (readout * s) @ readout
        assert values["m"][i] == pytest.approx(m)
        assert values["q"][i] == pytest.approx(q)
        assert values["train_loss"][i] == pytest.approx(np.mean(np.log1p(np.exp(-y * (F @ readout)))))
        # the angle is that of fresh samples
        fresh = np.random.default_rng(0)
        points = np.sqrt(s) * fresh.standard_normal((100_000, 9))
        teacher = points @ (psi / s) + math.sqrt(rest) * fresh.standard_normal(100_000)
        assert values["classification_error"][i] == pytest.approx(np.mean(teacher * (points @ readout) < 0), abs=0.006)


def test_classification_on_a_network():
    values = simulators.simulate_classification(LAYERS, {"test": 2000}, 3)
    assert set(values) == {*simulators.CLASSIFICATION, "noisy_label_error"}
    assert values["noisy_label_error"] == values["classification_error"]  # sign labels have no noise
    angle = math.acos(values["m"] / math.sqrt(1.5 * values["q"])) / math.pi
    assert values["classification_error"] == pytest.approx(angle, abs=0.1)
    found, lifted = (simulators.simulate_classification(LAYERS.replace(activations=["tanh", last]), {"test": 500}, 0)
                     for last in ("relu", "relu(x) + 5"))
    for name, value in found.items():
        assert lifted[name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize(("simulate", "problem"), [
    (simulators.simulate_ridge, RIDGE), (simulators.simulate_rainbow, RAINBOW),
    (simulators.simulate_classification, CLASSES), (simulators.simulate_classification, LAYERS),
])
def test_a_simulation_is_a_function_of_its_seed(simulate, problem):
    first = simulate(problem, {"test": 40}, 3)
    np.testing.assert_equal(first, simulate(problem, {"test": 40}, np.random.SeedSequence(3)))
    for name, value in first.items():
        assert name in problem.observables
        assert np.shape(value) == problem.shape and np.all(np.isfinite(value)), name
    other = simulate(problem, {"test": 40}, 4)
    assert any(np.any(value != other[name]) for name, value in first.items())


@pytest.mark.parametrize(("simulate", "problem", "sizes", "name"), [
    (simulators.simulate_ridge, RIDGE, {"d": 10}, "d"),
    (simulators.simulate_ridge, RIDGE, {"n": 10}, "n"),
    (simulators.simulate_ridge, RIDGE.replace(n=7.5), {}, "n"),
    (simulators.simulate_ridge, RIDGE.replace(n=[7, 8]), {}, "n"),
    (simulators.simulate_ridge, RIDGE.replace(multiplicities=[2, 4, 0.5]), {}, "multiplicities"),
    (simulators.simulate_ridge, FeatureRidge(power_law=[1.5, 2, 1], residual_variance=0, n=8, lam=1), {},
     "eigenvalues"),
    (simulators.simulate_rainbow, RAINBOW, {"d": 9}, "d"),
    (simulators.simulate_rainbow, RAINBOW.replace(target_layer="features", label_second_moment=9), {}, "target_layer"),
    (simulators.simulate_rainbow, RAINBOW.replace(input_eigenvalues=[1, 2, 3], input_target_weights=[1, 0, 0]), {},
     "input_multiplicities"),
    (simulators.simulate_classification, CLASSES, {"d": 9}, "d"),
    (simulators.simulate_classification, LAYERS.replace(n=7.5), {}, "n"),
])
def test_what_cannot_be_simulated(simulate, problem, sizes, name):
    with pytest.raises(ParameterError) as error:
        simulate(problem, sizes, 0)
    assert error.value.name == name


# ---- the protocol


def test_resized():
    for problem in (RIDGE, CLASSES):
        size = protocols.size_of(problem)
        assert protocols.resized(problem, int(size)) == problem
        double = protocols.resized(problem, int(2 * size))
        assert protocols.size_of(double) == 2 * size and float(double.n) == 2 * float(problem.n)
        np.testing.assert_array_equal(double.lam, 2 * problem.lam)
    half = protocols.resized(RAINBOW.replace(d=8, widths=[10, 6]), 4)
    assert (int(half.d), [int(width) for width in half.widths], float(half.n)) == (4, [5, 3], 6)


@pytest.mark.parametrize("name", ["Gaussian features, n = 0.6 p", "erf, erf, erf", "relu",
                                  "logistic, sign: two layers", "hinge, logit: Gaussian features"])
def test_the_theory_knows_ratios_only(name):
    """What makes networks of several sizes comparable."""
    setting = protocols.protocol("full").setting(name)
    small = setting.problem.solve().values
    large = protocols.resized(setting.problem, int(4 * protocols.size_of(setting.problem))).solve().values
    for observable in set(setting.judged) - {"df1", "weight_norm"}:
        np.testing.assert_allclose(small[observable], large[observable], rtol=1e-9, err_msg=observable)


def test_values_beside_the_theory():
    """theory * simulation/theory of the size, and simulation/prediction from the weights."""
    seed = np.random.SeedSequence(5)
    here = protocols.resized(RAINBOW, 16)
    theory, size = RAINBOW.solve().values, here.solve().values
    values = protocols.simulate(RAINBOW, {"d": 16, "test": 30}, seed)
    measured = simulators.simulate_rainbow(here, {"test": 30}, seed)
    for name in measured:
        np.testing.assert_allclose(values[name], theory[name] * measured[name] / size[name])
    paired = protocols.simulate_paired(RAINBOW, {"d": 16, "test": 30}, seed)
    trained = simulators.rainbow(here, {"test": 30}, seed)
    own = RainbowNetwork.from_weights(trained.network.weights, ["tanh", "erf(x/sqrt(2))"], trained.target,
                                      noise_var=RAINBOW.label_second_moment - 2, n=24, lam=[0.2, 2.0]).solve().values
    for name in paired:
        np.testing.assert_allclose(paired[name], theory[name] * measured[name] / own[name], rtol=1e-9)


@pytest.mark.parametrize("name", list(protocols.RAINBOW))
def test_the_chain_of_the_right_layers_is_the_theory(name):
    problem = protocols.protocol("full").setting(name).problem
    slopes, noises, _ = protocols.layer_coefficients(problem.activations)
    theory = problem.solve().values
    for observable, values in protocols.chain(problem, slopes, noises).items():
        np.testing.assert_allclose(values, theory[observable], rtol=1e-12)


def test_the_protocol_is_complete():
    full, quick = protocols.protocol("full"), protocols.protocol("quick")
    names = [setting.name for setting in full.settings]
    assert len(set(names)) == len(names)
    assert [setting.name for setting in quick.settings] == [name for name in names if name in protocols.QUICK]
    assert len(quick.settings) == len(protocols.QUICK)
    assert {name for name, _ in full.laws} <= set(names)
    for whole in (full, quick):
        assert {name for setting in whole.settings for name in setting.wrong} == CONTROLS


@pytest.fixture(scope="module")
def quick():
    return run(protocols.protocol("quick"))


def test_quick_passes_and_rejects_every_wrong_theory(quick):
    assert quick.passed, str(quick)
    assert {control.name for control in quick.controls} == CONTROLS
    assert len(quick.judged) > 80


def test_every_setting_rejects_its_wrong_theories(quick):
    for control in quick.controls:
        for setting in {row.setting for row in control.rows}:
            rows = [row for row in control.rows if row.setting == setting]
            assert judge(rows).outcome == "failed", (control.name, setting)


def test_networks_do_not_depend_on_workers():
    whole = protocols.protocol("quick")
    chosen = [setting for setting in whole.settings if setting.name in ("relu: own weights", "hinge, sign: two layers")]
    few = dataclasses.replace(whole, settings=tuple(chosen), networks={50: 6, 100: 4}, test_points=100)
    assert run(few, workers=1).rows == run(few, workers=2).rows


@pytest.mark.parametrize("slug", ["feature-ridge", "rainbow-network", "feature-classification"])
def test_simulators_are_installed(slug):
    assert simulation.find_simulator(slug).__module__ == "validation.structured_features"


# ---- real data


def test_real_data():
    pytest.importorskip("sklearn")
    cases = (real_data.CASES[0], real_data.CASES[2])
    report = real_data.report(splits=40, cases=cases)
    assert report.passed, str(report)
    assert [control.name for control in report.controls] == ["plug-in"]
    for judged, beside in zip(report.judged, report.reported, strict=True):
        assert judged.simulation == beside.simulation > beside.theory and judged.theory > beside.theory
    assert real_data.report(splits=3, cases=cases[1:]).rows == real_data.report(splits=3, cases=cases[1:]).rows


def test_real_features():
    pytest.importorskip("sklearn")
    pixels, y = real_data.digits()
    assert pixels.shape == (1797, 64) and set(y) == {-1.0, 1.0}
    assert np.mean(pixels**2) == pytest.approx(1) and np.max(np.abs(np.mean(pixels, axis=0))) < 1e-12
    features, _ = real_data.digits_features(1)
    assert features.shape == (1797, 400)
    np.testing.assert_array_equal(features, real_data.digits_features(1)[0])
    assert np.any(features != real_data.digits_features(2)[0])


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ParameterError, match="scikit-learn"):
        real_data.report(splits=2)
    with pytest.raises(ParameterError, match="splits"):
        real_data.report(splits=1)
