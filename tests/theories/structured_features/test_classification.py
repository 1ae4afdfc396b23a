"""FeatureClassification against its definitions, the reference rows, ridge, identities and limits."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import asymptotics as asy
from asymptotics import AccuracyWarning, ParameterError
from asymptotics.theories.structured_features import losses
from asymptotics.theories.structured_features.classification import FeatureClassification
from asymptotics.theories.structured_features.classification_solution import Cells, SpectrumFeatures, solve_cells
from tests.reference import feature_classification as reference

LOSSES = ("logistic", "hinge", "square")
LABELS = ("sign", "logit", "probit")
EVERY = list(itertools.product(LOSSES, LABELS))
ORDER = ("V", "q", "m", "classification_error", "train_loss")

K = np.arange(1, 201.0)
G = {"eigenvalues": 1 / K, "target_weights": K**-2 / np.sum(1 / K), "rho": 1.0}
ROWS: list[tuple[dict[str, Any], tuple[float, ...]]] = [
    ({"loss": "logistic", "labels": "sign", "n": 300, "lam": 0.1},
     (13.080238538608684, 18.380229500092206, 3.793282983131646, 0.154302319059612, 0.06983029768274894)),
    ({"loss": "hinge", "labels": "sign", "n": 300, "lam": 0.5},
     (1.9551268152728942, 3.7494144879568867, 1.6877629709901063, 0.1630664487724749, 0.015145291846470964)),
    ({"loss": "logistic", "labels": "logit", "n": 400, "lam": 1},
     (1.4723751101628868, 1.4319405535610394, 0.8008711795999229, 0.26660773924242676, 0.4451300299693791)),
    ({"loss": "square", "labels": "sign", "n": 300, "lam": 0.1},
     (1.595018500045183, 1.082670076774347, 0.7762337623192725, 0.2319672440703642, 0.06266446695605798)),
]


def problem(loss: str = "logistic", labels: str = "sign", **given: Any) -> FeatureClassification:
    return FeatureClassification(loss=loss, labels=labels, **{**G, "n": 300, "lam": 0.1, **given})


def random_cell(loss: str, labels: str, seed: int) -> reference.Cell:
    rng = np.random.default_rng((seed, EVERY.index((loss, labels))))
    s, t = rng.gamma(1.0, 1.0, 30), rng.gamma(0.5, 1.0, 30)
    rho, explained = 10 ** rng.uniform(-1, 1), rng.choice([1.0, 0.9, 0.3])
    n, lam = 30 * 10 ** rng.uniform(-0.5, 1), 10 ** rng.uniform(-1.5, 1.5)
    return reference.Cell(loss, labels, s, s * t * rho * explained / np.sum(t), rho, n, lam)


def as_problem(cell: reference.Cell, **given: Any) -> FeatureClassification:
    return FeatureClassification(loss=cell.loss, labels=cell.labels, **{
        "eigenvalues": cell.s, "target_weights": cell.c, "rho": cell.rho, "n": cell.n, "lam": cell.lam, **given})


# ---- references


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_reference_rows(row: int) -> None:
    given, wanted = ROWS[row]
    found = problem(**given).solve()
    for name, value in zip(ORDER, wanted, strict=True):
        np.testing.assert_allclose(getattr(found, name), value, rtol=5e-12)  # the accuracy of these rows
    assert found.converged and found.residual < 1e-13
    cell = reference.Cell(given["loss"], given["labels"], G["eigenvalues"], G["target_weights"], 1.0, given["n"],
                          given["lam"])
    for name, value in reference.solve(cell).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-13)


@pytest.mark.parametrize(("loss", "labels"), EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_random_cells_by_the_definitions(loss: str, labels: str, seed: int) -> None:
    cell = random_cell(loss, labels, seed)
    wanted, found = reference.solve(cell), as_problem(cell).solve()
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-11, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("seed", range(5))
def test_the_square_loss_is_ridge_on_the_labels(labels: str, seed: int) -> None:
    cell = random_cell("square", labels, seed)
    wanted, found = reference.square_by_ridge(cell), as_problem(cell).solve()
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("labels", LABELS)
def test_averages_by_the_definitions_at_extreme_states(labels: str) -> None:
    """A loss far narrower and far wider than the outputs, and labels far narrower than both."""
    for loss, (v, q, cosine) in itertools.product(
        ("logistic", "hinge"), [(1e4, 30.0, 0.3), (1e-3, 1e3, 0.9), (300.0, 2e4, 0.995), (0.5, 0.01, 0.1)]
    ):
        rho = 2.0
        cell = reference.Cell(loss, labels, np.ones(1), np.ones(1), rho, 1.0, 1.0)
        wanted = reference.averages(cell, v, q, cosine * np.sqrt(rho * q))
        state = losses.State(*(np.array([value]) for value in (
            v, q * (1 - cosine**2), cosine / np.sqrt(1 - cosine**2), rho)))
        with np.errstate(under="ignore"):
            law = losses.labels(labels)
            found = [*losses.averages(loss, law, state).values[:, 0], losses.train_loss(loss, law, state)[0]]
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("loss", "labels"), EVERY)
def test_slopes_are_difference_quotients(loss: str, labels: str) -> None:
    rng = np.random.default_rng(7)
    u = np.stack([rng.uniform(-3, 9, 40), rng.uniform(-3, 7, 40), rng.uniform(0, 4, 40)])
    rho, law, h = np.exp(rng.uniform(-2, 2, 40)), losses.labels(labels), 1e-5

    def at(shift: Any, slopes: bool = False) -> losses.Averages:
        x = u + np.reshape(shift, (3, 1))
        with np.errstate(under="ignore"):
            return losses.averages(loss, law, losses.State(np.exp(x[0]), np.exp(x[1]), np.sinh(x[2]), rho), 1, slopes)

    exact = at(np.zeros(3), slopes=True)
    assert exact.slopes is not None
    for number, unit in enumerate(np.eye(3)):
        near, far = (at(k * h * unit).values - at(-k * h * unit).values for k in (1, 2))
        quotient = (8 * near - far) / (12 * h)
        assert np.all(np.abs(quotient - exact.slopes[:, number]) < 1e-8 * (exact.values + 1e-12))


def test_the_logistic_law_is_a_mixture() -> None:
    law, nu = losses.labels("logit"), np.linspace(-40, 40, 401)
    with np.errstate(under="ignore"):
        found = [sum(w * reference._probit(x / np.sqrt(v)) for v, w in zip(*law, strict=True)) for x in nu]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-nu)), atol=2e-15)


@pytest.mark.parametrize("labels", LABELS)
def test_error_on_noisy_labels_by_sampling(labels: str) -> None:
    found = problem("logistic", labels, rho=4.0, n=500, lam=1).solve()
    rng = np.random.default_rng(1)
    nu, rest = rng.standard_normal((2, 400_000))
    nu *= 2.0
    output = found.m / 4 * nu + np.sqrt(found.q - found.m**2 / 4) * rest
    chance = {"sign": nu > 0, "logit": 1 / (1 + np.exp(-nu)),
              "probit": np.vectorize(reference._probit)(nu) if labels == "probit" else nu}[labels]
    y = np.where(rng.uniform(size=nu.size) < chance, 1, -1)
    for name, truth in (("noisy_label_error", y), ("classification_error", nu)):
        wrong = np.mean(output * truth < 0)
        assert abs(wrong - getattr(found, name)) < 4 * np.sqrt(wrong / nu.size)
    if labels == "sign":
        assert found.noisy_label_error == found.classification_error


def test_random_network() -> None:
    """Two layers of erf(x/sqrt(2)); the values of an independent nested solution."""
    found = FeatureClassification(
        loss="logistic", labels="sign", activations=["erf(x/sqrt(2))"] * 2, widths=[1080, 900], d=900, rho=1, n=1500,
        lam=1).solve()
    wanted = {"classification_error": 0.29907, "V": 12.52, "q": 18.33, "m": 2.526}
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=5e-4)


# ---- convergence, quadrature, grids


@pytest.mark.parametrize(("loss", "labels"), EVERY)
@pytest.mark.parametrize("rho", [1.0, 100.0])
def test_every_cell_converges_and_panels_are_fine_enough(loss: str, labels: str, rho: float) -> None:
    axes = asy.grid(n=np.geomspace(20, 2000, 9), lam=np.geomspace(1e-8, 100, 11))
    found = problem(loss, labels, **{**axes, "rho": rho}).solve()
    assert np.all(found.converged) and np.max(found.residual) < 1e-12
    fine = problem(loss, labels, **{**axes, "rho": rho})._predict(tuple(found.values), refinement=2)
    for name in found.values:
        coarse = found.values[name]
        np.testing.assert_allclose(coarse, fine.values[name], rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_few_features_many_samples_no_noise(loss: str) -> None:
    """The angle closes: curved valleys, and cancellation in q - m^2/rho."""
    k, lam = np.arange(1, 51.0), 1e-4
    n, rho = 50 * np.array([100.0, 1000.0, 1e4]), float(np.sum(1 / k))
    found = FeatureClassification(
        loss=loss, labels="sign", eigenvalues=k**-1.5, target_weights=k**-2.5, rho=rho, n=n, lam=lam).solve()
    assert np.all(found.converged) and np.all(found.classification_error[1:] < 0.3 * found.classification_error[:-1])
    for size, *point in zip(n, found.V, found.q, found.m, strict=True):
        cell = reference.Cell(loss, "sign", k**-1.5, k**-2.5, rho, float(size), lam)
        np.testing.assert_allclose(reference.update(cell, *map(float, point)), point, rtol=1e-8)


@pytest.mark.parametrize(("loss", "labels"), EVERY)
def test_random_cells_of_all_scales_converge(loss: str, labels: str) -> None:
    rng = np.random.default_rng(EVERY.index((loss, labels)))
    for p, decay, explained in ((1000, 0.7, 1.0), (50, 1.5, 1.0), (5, 0.4, 0.99), (1, 0.0, 0.1)):
        k, count = np.arange(1.0, p + 1), 30 if labels == "logit" else 60
        s, t = k**-decay, k ** -rng.uniform(0, 3)
        rho = 10 ** rng.uniform(-3, 3)
        found = FeatureClassification(
            loss=loss, labels=labels, eigenvalues=s, target_weights=s * t / np.sum(t) * rho * explained,
            rho=rho * np.where(rng.uniform(size=count) < 0.5, 1.0, rng.uniform(1, 3, count)),
            n=p * 10 ** rng.uniform(-2, 4, count), lam=np.sum(s) * 10 ** rng.uniform(-12, 3, count)).solve()
        assert np.all(found.converged) and np.max(found.residual) < 1e-11


def test_small_penalties_reach_the_largest_margin() -> None:
    """Labels of a teacher within the features are separable: directions tend to a limit, and the hinge's V to 1/lam."""
    lam = np.array([1e-4, 1e-6, 1e-8])
    hinge = problem("hinge", "sign", n=20, lam=lam).solve()
    np.testing.assert_allclose(hinge.V * lam, hinge.V[-1] * lam[-1], rtol=1e-9)
    assert np.all(hinge.train_loss == 0)
    logistic = problem("logistic", "sign", n=20, lam=lam).solve()
    away = np.abs(logistic.classification_error - hinge.classification_error)
    assert np.all(np.diff(away) < 0) and away[-1] < 2e-3


def test_cells_of_a_grid_are_those_of_scalars() -> None:
    n, lam, rho = np.array([40.0, 300.0, 1500.0]), np.array([1e-6, 0.1, 30.0]), np.array([1.0, 2.0, 50.0])
    for loss, labels in EVERY:
        together = problem(loss, labels, n=n[:, None], lam=lam, rho=rho[:, None]).solve()
        for i, j in ((0, 0), (1, 1), (2, 2), (0, 2)):
            alone = problem(loss, labels, n=n[i], lam=lam[j], rho=rho[i]).solve()
            for name, values in together.values.items():
                np.testing.assert_allclose(values[i, j], alone.values[name], rtol=1e-11, atol=1e-15, err_msg=name)


def test_the_same_bits_and_observables_on_request() -> None:
    given = problem("logistic", "logit", n=[50.0, 500.0])
    once, again = given.solve(), pickle.loads(pickle.dumps(given)).solve()
    for name in once.values:
        np.testing.assert_array_equal(once.values[name], again.values[name])
    few = given.solve(observables=["train_loss"])
    assert tuple(few.values) == ("train_loss",)
    np.testing.assert_array_equal(few.train_loss, once.train_loss)


@pytest.mark.parametrize(("loss", "labels"), EVERY)
def test_sound_where_every_floating_point_error_raises(loss: str, labels: str) -> None:
    n, lam = np.array([1e-3, 20.0, 200.0, 1e6])[:, None], np.array([1e-12, 1e-3, 1.0, 1e6])
    with np.errstate(all="raise"):
        found = problem(loss, labels, n=n, lam=lam).solve()
    assert np.all(found.converged)
    assert np.all((found.classification_error > 0) & (found.classification_error <= 0.5))


# ---- identities


@pytest.mark.parametrize("loss", LOSSES)
def test_scale_of_features(loss: str) -> None:
    one = problem(loss, "logit").solve()
    scaled = problem(
        loss, "logit", eigenvalues=1e6 * G["eigenvalues"], target_weights=1e6 * G["target_weights"], lam=1e5).solve()
    for name in ("V", "q", "m", "classification_error", "train_loss", "df1", "df2"):
        np.testing.assert_allclose(getattr(one, name), getattr(scaled, name), rtol=1e-12)
    np.testing.assert_allclose(scaled.effective_ridge, 1e6 * one.effective_ridge, rtol=1e-12)


def test_multiplicities_and_zero_eigenvalues() -> None:
    one = problem(eigenvalues=[2, 2, 2, 1, 0, 0], target_weights=[0.1, 0.1, 0.2, 0.3, 0, 0], n=9).solve()
    other = problem(eigenvalues=[1, 2], target_weights=[0.3, 0.4], multiplicities=[1, 3], n=9).solve()
    for name in one.values:
        np.testing.assert_allclose(one.values[name], other.values[name], rtol=1e-13)


@pytest.mark.parametrize(("loss", "labels"), EVERY)
def test_without_signal_the_prediction_is_a_coin(loss: str, labels: str) -> None:
    found = problem(loss, labels, target_weights=np.zeros(200)).solve()
    assert found.m == 0 and found.classification_error == 0.5
    np.testing.assert_allclose(found.noisy_label_error, 0.5, rtol=1e-14)


def test_probit_labels_are_signs_of_a_wider_teacher() -> None:
    probit, sign = problem("hinge", "probit", rho=1.0).solve(), problem("hinge", "sign", rho=2.0).solve()
    for name in ("V", "q", "m", "train_loss", "hat_V"):
        np.testing.assert_allclose(getattr(probit, name), getattr(sign, name), rtol=1e-12)
    np.testing.assert_allclose(probit.noisy_label_error, sign.classification_error, rtol=1e-13)


def test_effective_ridge_is_that_of_the_curvature() -> None:
    found = problem("logistic", "sign", lam=[1e-3, 1.0, 50.0]).solve()
    np.testing.assert_allclose(found.effective_ridge * found.hat_V, [1e-3, 1.0, 50.0], rtol=1e-14)
    q = G["eigenvalues"] / (G["eigenvalues"] + found.effective_ridge[:, None])
    np.testing.assert_allclose(found.df1, np.sum(q, axis=1), rtol=1e-13)
    np.testing.assert_allclose(found.df2, np.sum(q**2, axis=1), rtol=1e-13)
    np.testing.assert_allclose(found.V * found.hat_V, found.df1, rtol=1e-12)


def test_hinge_without_a_sample_on_the_margin() -> None:
    """Large penalties: all samples have force 1, w = sum y phi/lam, and nothing is curved."""
    found = problem("hinge", "sign", n=20, lam=1e4).solve()
    s, c = G["eigenvalues"], G["target_weights"]
    mean = 20 * np.sqrt(2 / np.pi) / 1e4
    assert found.hat_V == 0 and np.isinf(found.effective_ridge) and found.df1 == 0
    np.testing.assert_allclose(found.V, np.sum(s) / 1e4, rtol=1e-13)
    np.testing.assert_allclose(found.m, mean * np.sum(c), rtol=1e-12)
    np.testing.assert_allclose(found.q, mean**2 * np.sum(c * s) + 20 / 1e8 * np.sum(s**2), rtol=1e-12)
    np.testing.assert_allclose(found.train_loss, 1 - mean * np.sqrt(2 / np.pi) * np.sum(c) - found.V, rtol=1e-12)


# ---- what is refused


@pytest.mark.parametrize(("changes", "name", "words"), [
    ({"loss": "huber"}, "loss", "one of"),
    ({"labels": "noise"}, "labels", "one of"),
    ({"lam": 0}, "lam", "> 0"),
    ({"n": 0}, "n", "> 0"),
    ({"rho": -1}, "rho", "> 0"),
    ({"rho": [1.0, 0.99]}, "rho", ">= 1,.*got 0.99"),
    ({"target_weights": None}, "target_weights", "with eigenvalues"),
    ({"target_weights": [1.0]}, "target_weights", "200"),
    ({"multiplicities": [1.0]}, "multiplicities", "200"),
    ({"eigenvalues": np.where(K == 7, 0, 1 / K)}, "target_weights", "index 6"),
    ({"eigenvalues": np.zeros(200), "target_weights": np.zeros(200)}, "eigenvalues", "not all be zero"),
    ({"eigenvalues": None}, "eigenvalues", "network"),
    ({"d": 10}, "d", "not be given with eigenvalues"),
    ({"eigenvalues": None, "activations": ["tanh"], "widths": [10]}, "d", "with the rest"),
    ({"eigenvalues": None, "activations": ["tanh"], "widths": [10], "d": 5}, "target_weights", "eigenvalues only"),
    ({"eigenvalues": None, "target_weights": None, "activations": ["tanh"], "widths": [10, 5], "d": 5}, "widths",
     "activations"),
    ({"eigenvalues": None, "target_weights": None, "activations": ["relu", "tanh"], "widths": [10, 5], "d": 5},
     "activations", "mean 0"),
])
def test_bad_input_is_refused(changes: dict[str, Any], name: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words) as caught:
        problem(**changes)
    assert caught.value.name.startswith(name)


def test_rounding_of_the_explained_variance_is_accepted() -> None:
    assert problem(rho=1 - 1e-12).solve().converged


def test_parameters_out_of_all_scale_do_not_converge() -> None:
    with pytest.warns(AccuracyWarning, match="1 of 2 cells"):
        found = problem(lam=[1e-200, 1.0]).solve()
    assert found.converged.tolist() == [False, True] and np.isnan(found.q[0]) and found.q[1] > 0


def test_features_may_differ_between_cells() -> None:
    """What the equations ask of features: sums by ridge and cell; slopes that are difference quotients will do."""
    from asymptotics.spectra.spectrum import Spectrum

    s, t = G["eigenvalues"], G["target_weights"] * K

    class Scaled:
        explained = 1.0

        def __init__(self, factors: np.ndarray) -> None:
            self.factors, self.one = factors, SpectrumFeatures(Spectrum(s, np.ones(200), t))
            self.trace = factors * self.one.trace

        def at(self, kappa: np.ndarray, cells: np.ndarray) -> Any:
            found = self.one.at(kappa / self.factors[cells], cells)
            return found._replace(df2_slope=1.001 * found.df2_slope, power_slope=1.001 * found.power_slope)

    factors = np.array([1.0, 10.0, 100.0])
    with np.errstate(under="ignore"):
        solved = solve_cells("logistic", losses.labels("sign"), Scaled(factors), Cells(
            np.ones(3), np.full(3, 300.0), 0.1 * factors))
    np.testing.assert_allclose(solved.state.v, ROWS[0][1][0], rtol=1e-12)
    np.testing.assert_allclose(solved.state.q, ROWS[0][1][1], rtol=1e-12)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "square"])
@pytest.mark.parametrize("widths", [[10], [20, 20, 20], [80]])
def test_networks_at_any_ridge_and_number_of_samples(loss: str, widths: list[int]) -> None:
    """Penalties so large that the effective ridge is far above the spectrum, or infinite."""
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for labels in ("sign", "logit", "probit"):
            found = FeatureClassification(
                loss=loss, labels=labels, activations=["tanh"] * len(widths), widths=widths, d=10, rho=1.0,
                **asy.grid(n=[1e-6, 1e-3, 1.0, 10.0, 20.0, 1000.0], lam=[1e-6, 1e-3, 1.0, 100.0, 1e4])).solve()
            assert np.all(found.converged)
