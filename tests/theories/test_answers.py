"""Questions to families of problems: the best step, the best split, what has been learned, given weights."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize_scalar

import asymptotics as asy
from asymptotics import AccuracyWarning, ConcreteFeatures, GiantStep, ParameterError, SpikedRandomFeatures, studies
from asymptotics.solvers import minimise_shared
from asymptotics.theories.spiked_random_features.answers import hermite_contents
from asymptotics.theories.spiked_random_features.concrete import concrete_features
from asymptotics.theories.spiked_random_features.gradient_step import SpikeParameters
from tests.theories.test_concrete import spiked

SINE = dict(activation="tanh", target="sin", noise_var=0.1, eta=1.0, lam=1.0)
PUBLISHED = {"noise_var_step": 0.0, "model": "isotropic"}


def quietly(problem):
    """Test errors at the best ridge, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return problem.optimal_ridge().solve(["test_error"]).test_error


class TestOptimalStep:
    def test_published_optima(self):
        """tanh/sin, beta = 1, noise_var = .1 (none in the step), isotropic."""
        best = GiantStep(**SINE, **PUBLISHED, alpha0=[2, 2, 2, 8], alpha=[0.5, 1.5, 4, 1.5]).optimal_step()
        np.testing.assert_allclose(best.eta, [2.875, 2.641, 2.470, 4.409], atol=5e-4)
        np.testing.assert_allclose(best.lam, [0.614, 0.4587, 0.3182, 0.767], rtol=1e-3)
        np.testing.assert_allclose(best.solve().test_error, [0.27023, 0.24577, 0.21496, 0.16321], atol=5e-6)

    def test_an_infinitesimal_step_is_best_with_few_samples_of_it(self):
        for model in ("isotropic", "exact_step"):
            problem = GiantStep(**{**SINE, **PUBLISHED, "model": model}, alpha0=0.5, alpha=4.0)
            with pytest.warns(AccuracyWarning, match=r"the best step is infinitesimal .* eta = 1.4e-03 stands"):
                best = problem.optimal_step()
            small, none = (quietly(problem.replace(eta=eta)) for eta in (1e-6, 0.0))
            assert best.solve().test_error == pytest.approx(small, rel=1e-6)
            assert none > 1.05 * small

    def test_exact_steps(self):
        """Our own digits."""
        best = GiantStep(**SINE, alpha0=[2, 8], alpha=1.5).optimal_step()
        np.testing.assert_allclose(best.eta, [2.148257, 4.202631], rtol=1e-5)
        np.testing.assert_allclose(best.lam, [0.458513, 0.693153], rtol=1e-5)
        np.testing.assert_allclose(best.solve().test_error, [0.263105323179, 0.172813188980], rtol=1e-11)

    @pytest.mark.parametrize(
        ("activation", "target", "alpha0", "alpha", "beta"),
        [("softplus", "erf", 10.4, 0.135, 0.686),
         pytest.param("gelu", "sin(1.5*x)", 4.76, 1.57, 2.72, marks=pytest.mark.slow), ("relu", "relu", 3.0, 2.0, 1.0)],
    )
    def test_nested_search_by_scipy_finds_the_same(self, activation, target, alpha0, alpha, beta):
        problem = GiantStep(activation=activation, target=target, alpha0=alpha0, alpha=alpha, beta=beta, eta=1.0,
                            lam=1.0, noise_var=0.1)
        best = problem.optimal_step()
        error = best.solve().test_error
        scan = quietly(problem.replace(eta=np.geomspace(1e-2, 1e2, 17)))
        assert np.all(error <= scan[np.isfinite(scan)] * (1 + 1e-12))
        found = minimize_scalar(lambda log_eta: float(quietly(problem.replace(eta=float(np.exp(log_eta))))),
                                bracket=np.log(best.eta) + np.array([-0.5, 0.1, 0.5]), tol=1e-7)
        assert best.eta == pytest.approx(np.exp(found.x), rel=3e-5)
        assert error == pytest.approx(found.fun, rel=1e-11)

    def test_a_grid_equals_its_cells_labelled_or_not(self):
        axes = dict(alpha=np.array([0.5, 1.5, 4.0]), noise_var=np.array([0.05, 0.2]))
        base = dict(activation="relu", target="sin(1.5*x)", alpha0=4.0, eta=[1.0, 2.0, 3.0, 4.0], lam=1.0)
        grid = GiantStep(**{**base, "eta": 1.0, **asy.grid(**axes)}).optimal_step()
        assert grid.dims == ("alpha", "noise_var") and grid.eta.dims == grid.lam.dims == grid.dims
        np.testing.assert_array_equal(grid.eta.coords["alpha"], axes["alpha"])
        plain = GiantStep(**base, alpha=axes["alpha"][:, None, None], noise_var=axes["noise_var"][:, None])
        assert plain.shape == (3, 2, 4)
        plain = plain.optimal_step()
        assert plain.shape == (3, 2, 1)
        np.testing.assert_allclose(plain.eta[..., 0], grid.eta, rtol=1e-6)
        for i, j in np.ndindex(3, 2):
            cell = GiantStep(**{**base, "eta": 1.0}, alpha=axes["alpha"][i], noise_var=axes["noise_var"][j])
            cell = cell.optimal_step()
            assert cell.eta == pytest.approx(float(grid.eta[i, j]), rel=1e-5)
            assert cell.solve().test_error == pytest.approx(grid.solve().test_error[i, j], rel=1e-11)

    def test_no_step_where_none_is_best(self):
        best = GiantStep(activation="abs(x) + x", target="erf", alpha0=[0.0, 0.2], alpha=4.0, eta=1.0, lam=1.0,
                         noise_var=0.5, model="isotropic").optimal_step()
        np.testing.assert_array_equal(best.eta, 0.0)

    def test_nothing_to_learn(self):
        problem = GiantStep(activation="tanh", target="he2", alpha0=1.0, alpha=2.0, eta=1.0, lam=1.0, noise_var=0.1,
                            model="isotropic")
        with pytest.warns(AccuracyWarning, match="best ridge is infinite"):
            best = problem.optimal_step()
        assert best.eta == 0.0 and best.solve().test_error == pytest.approx(1.1, rel=1e-8)

    @pytest.mark.parametrize("model", ["isotropic", "exact_step"])
    def test_an_infinite_step(self, model):
        """The larger the step, the more do relu features of it become relu of the direction that it found."""
        problem = GiantStep(activation="relu", target="relu", alpha0=1000.0, alpha=3.0, eta=1.0, lam=1.0, model=model)
        with pytest.warns(AccuracyWarning, match=r"in 1 cells the best step is infinite; eta = 4.0e\+03 stands for it"):
            best = problem.optimal_step()
        assert best.solve().test_error < quietly(problem.replace(eta=100.0))

    def test_few_samples_make_an_infinitesimal_step_finite(self):
        problem = GiantStep(**SINE, **PUBLISHED, alpha0=0.5, alpha=4.0, n_finite=2000)
        best = problem.optimal_step()
        assert 0.05 < best.eta < 2
        assert best.solve().test_error < quietly(problem.replace(eta=1e-3))

    def test_in_a_study(self):
        document = {"theory": "giant-step", "optimal": "step", "axes": {"alpha0": [2.0, 8.0]},
                    "parameters": {"activation": "tanh", "target": "sin", "alpha": 1.5, "noise_var": 0.1}}
        (problem,) = studies.parse(document).problems()
        best = studies.parse(document).optimised(problem)
        np.testing.assert_allclose(best.eta, [2.148257, 4.202631], rtol=1e-5)
        with pytest.raises(ParameterError, match=r"axes\.eta: is chosen by optimal = 'step'"):
            studies.parse({**document, "axes": {"eta": [1.0]}})
        with pytest.raises(ParameterError, match="optimal: giant-step has no optimal 'split'"):
            studies.parse({**document, "optimal": "split"})


class TestOptimalSplit:
    @pytest.mark.parametrize("ridge", ["given", "optimal"])
    @pytest.mark.parametrize(
        ("activation", "target", "budget", "eta", "beta", "model"),
        [("tanh", "sin", 10.0, 0.24, 2.0, "exact_step"), ("relu", "he2(x) + x", 2.0, 1.0, 1.8, "isotropic"),
         ("softplus", "he2(x) + x", 20.0, 0.4, 0.8, "isotropic")],
    )
    def test_it_is_the_minimum(self, activation, target, budget, eta, beta, model, ridge):
        problem = GiantStep(activation=activation, target=target, alpha0=1.0, alpha=1.0, eta=eta, beta=beta, lam=0.3,
                            noise_var=0.05, model=model)
        best = problem.optimal_split(budget, ridge)
        assert 0 < best.alpha0 < budget
        assert best.alpha0 + best.alpha == pytest.approx(budget, rel=1e-14)
        assert (best.lam == 0.3) == (ridge == "given")
        share = np.linspace(0, 0.99, 40)
        family = problem.replace(alpha0=budget * share, alpha=budget * (1 - share))
        error = best.solve().test_error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            assert np.all(error <= (quietly(family) if ridge == "optimal" else family.solve().test_error))
        below, above = (best.replace(alpha0=best.alpha0 + shift, alpha=best.alpha - shift).solve().test_error
                        for shift in (-1e-3 * best.alpha0, 1e-3 * best.alpha0))
        assert min(below, above) > error
        assert below - error == pytest.approx(above - error, rel=0.05)

    def test_random_features_where_a_step_does_not_pay(self):
        problem = GiantStep(activation="sin", target="tanh", alpha0=1.0, alpha=1.0, eta=0.9, beta=3.0, lam=0.04)
        best = problem.optimal_split(1.5)
        assert (best.alpha0, best.alpha) == (0.0, 1.5)

    def test_next_to_nothing_for_the_readout(self):
        problem = GiantStep(activation="erf", target="tanh", alpha0=1.0, alpha=1.0, eta=4.7, beta=0.6, lam=0.3,
                            noise_var=0.5)
        with pytest.warns(AccuracyWarning, match="the best split leaves the readout next to nothing; alpha ="):
            best = problem.optimal_split(0.5)
        assert best.alpha < 0.001

    def test_budgets_are_an_axis(self):
        problem = GiantStep(activation="tanh", target="sin", alpha0=1.0, alpha=1.0, eta=0.24, beta=2.0, lam=0.3,
                            noise_var=0.05)
        budgets = np.array([2.0, 20.0])
        plain = problem.optimal_split(budgets)
        assert plain.alpha0.shape == (2,)
        labelled = problem.replace(**asy.grid(lam=[0.1, 0.3])).optimal_split(
            xr.DataArray(budgets, dims="budget", coords={"budget": budgets}))
        assert set(labelled.dims) == {"lam", "budget"}
        data = labelled.solve(["test_error"]).to_dataset()
        np.testing.assert_allclose(data.test_error.sel(lam=0.3), plain.solve().test_error, rtol=1e-11)
        np.testing.assert_allclose(data.alpha0 + data.alpha, data.budget + 0 * data.alpha, rtol=1e-14)
        for budget, share in zip(budgets, plain.alpha0, strict=True):
            assert problem.optimal_split(budget).alpha0 == pytest.approx(share, rel=1e-6)

    @pytest.mark.parametrize(
        ("budget", "options", "message"),
        [(-1.0, {}, "budget: must be > 0, got -1"), ("all", {}, "budget: must be a number > 0"),
         (1.0, {"ridge": "best"}, "ridge: must be one of given, optimal, got 'best'")],
    )
    def test_refusals(self, budget, options, message):
        problem = GiantStep(**SINE, alpha0=1.0, alpha=1.0)
        with pytest.raises(ParameterError, match=message):
            problem.optimal_split(budget, **options)
        with pytest.raises(ParameterError, match="n_finite: must be null"):
            problem.replace(n_finite=100).optimal_split(1.0)


class TestLearnedComponents:
    def check(self, problem, tolerance, degree=100):
        """Squared differences add up to the errors."""
        components, solved = problem.learned_components(degree), problem.solve()
        spike = ((components.target_spike - components.network_spike) ** 2).sum("degree")
        np.testing.assert_allclose(spike, solved.spike_error, atol=tolerance)
        across = ((components.target_orthogonal - components.network_orthogonal) ** 2).sum("degree")
        known = (components.target_spike**2 + components.target_orthogonal**2).sum("degree")
        unlearnable = problem.target.second_moment() - known
        np.testing.assert_allclose(across + unlearnable, solved.orthogonal_error, atol=tolerance)

    @pytest.mark.parametrize(
        ("activation", "target", "tolerance"),
        [("tanh", "sin", 1e-8), ("relu", "sin(1.5*x) + 0.3", 1e-8), ("sign", "tanh(x + 0.4)", 1e-6),
         ("he2", "he2(x) + x", 1e-13), ("softplus", "erf", 1e-13), ("sin", "cos", 1e-13), ("abs", "he2", 1e-7)],
    )
    def test_squares_add_up_to_the_errors(self, activation, target, tolerance):
        for row_norm_variance in (0.0, 1.0):
            self.check(SpikedRandomFeatures(
                activation=activation, target=target, alpha=2.0, lam=[0.05, 1.0], alignment=0.7,
                spike_strength=[[0.0], [0.01], [1.0], [-2.0]], bulk_variance=1.2, noise_var=0.1,
                row_norm_variance=row_norm_variance,
            ), tolerance)

    @pytest.mark.parametrize("model", ["isotropic", "exact_step", "full_step"])
    def test_trained_networks(self, model):
        axes = asy.grid(alpha0=[1.0, 4.0], eta=[0.0, 1.0, 3.0], alpha=[0.5, 2.0])
        self.check(GiantStep(activation="relu", target="tanh", lam=0.1, model=model, **axes), 1e-8)

    def test_given_weights(self):
        W, theta = spiked(60, 50, row_norm_variance=1.0)
        self.check(concrete_features(W, theta, activation="relu", target="tanh", alpha=[1.0, 2.0], lam=0.1), 1e-8)

    def test_contents_are_hermite_coefficients(self):
        """With s^2 = r^2 + c: E[mu0 h_k] = (r/s)^k E[sigma(s w) h_k(w)], and derivatives of that."""
        r, c = np.array([0.5, 3.0, -8.0]), np.array([1.0, 0.5, 2.0])
        s, k = np.sqrt(r**2 + c), np.arange(21)
        for activation in ("tanh", "relu", "sin", "gelu", "sign", "he3"):
            found = hermite_contents(asy.nonlinearity(activation), SpikeParameters(r, c, 0 * r), 20)
            for t in range(3):
                scaled = asy.nonlinearity(f"{activation}({float(s[t])!r}*x)").hermite_coefficients(22)
                power = (r[t] / s[t]) ** k
                expected = (power * scaled[:-2], power * np.sqrt(k + 1) * scaled[1:-1] / s[t],
                            power * np.sqrt((k + 1) * (k + 2)) * scaled[2:] / (2 * s[t] ** 2))
                for content, values in zip(found, expected, strict=True):
                    np.testing.assert_allclose(content[t], values, atol=1e-11 * max(1.0, np.max(np.abs(values))))

    def test_the_dataset(self, tmp_path):
        problem = GiantStep(activation="tanh", target="sin", eta=3.0, alpha=3.0, lam=0.1,
                            **asy.grid(alpha0=[2.0, 20.0]))
        components = problem.learned_components(5)
        assert components.target_spike.dims == ("alpha0", "degree")
        np.testing.assert_array_equal(components.degree, np.arange(6))
        assert json.loads(components.attrs["parameters"])["target"] == "sin"
        gamma = problem.solve().alignment
        np.testing.assert_allclose(components.target_spike[:, 3], gamma**3 * problem.target.hermite_coefficients(3)[3])
        assert np.all(components.network_spike[:, ::2] == 0)
        # more samples of the step: more of the first and of the third component in the spike
        assert np.all(np.abs(components.network_spike[1, 1::2]) > np.abs(components.network_spike[0, 1::2]))
        components.to_netcdf(tmp_path / "components.nc", engine="scipy")
        with xr.open_dataset(tmp_path / "components.nc", engine="scipy") as again:
            np.testing.assert_array_equal(again.network_spike, components.network_spike)
        scalar = problem.isel(alpha0=0).learned_components()
        assert scalar.target_spike.shape == (9,)

    def test_refusals(self):
        problem = GiantStep(**SINE, alpha0=1.0, alpha=1.0)
        for degree in (-1, 2.5, True, 101):
            with pytest.raises(ParameterError, match="degree: must be a whole number from 0 to 100"):
                problem.learned_components(degree)
        with pytest.raises(ParameterError, match="degree: is the name of an axis"):
            problem.replace(alpha=xr.DataArray([1.0, 2.0], dims="degree")).learned_components()


class TestFromWeights:
    def test_it_is_the_readout_on_these_features(self):
        W, theta = spiked(80, 60)
        options = dict(activation="relu", target="tanh", lam=[0.1, 1.0], noise_var=0.1)
        problem = SpikedRandomFeatures.from_weights(W, theta, n=90, **options)
        assert isinstance(problem, ConcreteFeatures) and asy.THEORIES["concrete-features"] is ConcreteFeatures
        assert problem == concrete_features(W, theta, alpha=1.5, **options)
        assert problem != SpikedRandomFeatures.from_weights(W, theta, n=90, row_norms=False, **options)

    def test_long_spectra_are_printed_short_and_saved_whole(self, tmp_path):
        from asymptotics.tables import from_prediction, header_of_prediction, write_csv

        W, theta = spiked(100, 80)
        prediction = SpikedRandomFeatures.from_weights(W, theta, activation="relu", target="tanh", n=[90, 200],
                                                       lam=0.1).solve()
        assert len(repr(prediction.problem)) < 600
        saved = json.loads(prediction.to_dataset().attrs["parameters"])
        np.testing.assert_array_equal(saved["eigenvalues"], prediction.problem.eigenvalues)
        rebuilt = ConcreteFeatures(**{name: value for name, value in saved.items() if value is not None})
        np.testing.assert_array_equal(rebuilt.solve().test_error, prediction.test_error)
        write_csv(tmp_path / "a.csv", from_prediction(prediction), header_of_prediction(prediction, "0"))
        header = (tmp_path / "a.csv").read_text().split("\n")[2]
        assert len(header) < 400 and '"eigenvalues": "100 numbers"' in header


class TestSharedMinimisation:
    def test_minima_of_many_cells_on_shared_points(self):
        calls = []
        centres, depth = np.linspace(-2, 2.5, 7), np.array([[0.2], [0.5]])

        def function(x):
            calls.append(x.shape)
            return 2 - 1 / (1 + depth * (x - centres) ** 2 / (1 + 0.1 * x**2))

        minima = minimise_shared(function, -6.0, 6.0, (2, 7), (1, 1))
        np.testing.assert_allclose(minima.location, np.broadcast_to(centres, (2, 7)), atol=1e-6)
        np.testing.assert_allclose(minima.value, 1.0, atol=1e-12)
        assert all(shape[1:] == (1, 1) for shape in calls[:-1]) and calls[-1] == (1, 2, 7)
        own = minimise_shared(function, -6.0, 6.0, (2, 7), (2, 7))
        np.testing.assert_allclose(own.location, minima.location, atol=1e-6)

    def test_ends_and_failures(self):
        def function(x):
            rows = np.stack([x, -x, (x - 1) ** 2, np.abs(x - 0.3), np.full_like(x, np.nan)], axis=-1)
            return np.where((np.arange(5) == 2) & (x[..., None] > 2), np.nan, rows)

        minima = minimise_shared(lambda x: function(np.broadcast_to(x, (len(x), 5))[:, 0]) if x.shape[1] == 1
                                 else np.stack([function(x[:, i])[:, i] for i in range(5)], axis=-1),
                                 -4.0, 4.0, (5,), (1,), rounds=4)
        assert minima.at_low.tolist() == [True, False, False, False, True]
        assert minima.at_high.tolist() == [False, True, False, False, False]
        np.testing.assert_allclose(minima.location[:3], [-4.0, 4.0, 1.0], atol=1e-6)
        # a kink is no smooth minimum: what is returned was seen
        assert minima.value[3] == abs(minima.location[3] - 0.3) < 0.3
        assert minima.value[4] == np.inf
