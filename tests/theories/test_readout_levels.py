"""Several readout levels through the public problems: axes, values, limits, refusals, storage, networks."""

import json
import math
import pickle
import warnings

import numpy as np
import pytest
import xarray as xr

import asymptotics as asy
from asymptotics import AccuracyWarning, GiantStep, ParameterError, SpikedRandomFeatures
from asymptotics.cli import main
from asymptotics.studies import parse, run_study
from asymptotics.tables import from_dataset, from_prediction
from validation import compare, giant_step, spiked_random_features

TWO = dict(readout_levels=[0.5, 2.0], readout_fractions=[0.5, 0.5])
FEATURES = dict(
    activation="tanh", target="sin", spike_strength=1.0, bulk_variance=[1.0, 1.5], alignment=0.8, alpha=1.5, lam=0.1,
    **TWO,
)
STEP = dict(activation="relu", target="sin", alpha0=2.0, eta=1.0, alpha=2.0, lam=0.1, noise_var=0.1)
ISOTROPIC = dict(**STEP, model="isotropic")
SCALARS = (
    "test_error", "generalization_error", "train_error", "ridge_objective", "spike_error", "orthogonal_error",
    "estimation_error", "variance", "bias", "best_linear_error", "n_crossover",
)
VECTORS = ("m", "th", "psi", "q2", "V2")
MATRICES = ("q1", "V1")
ERRORS = ("test_error", "train_error")


def assert_close(one, two, names=SCALARS, rtol=1e-10):
    for name in names:
        np.testing.assert_allclose(one.values[name], two.values[name], rtol=rtol, atol=1e-11, err_msg=name)


# ---- values


def test_reference_rows():
    one = SpikedRandomFeatures(**FEATURES).solve()
    two = SpikedRandomFeatures(
        activation="relu", target="tanh", spike_strength=1.2, alignment=0.7, alpha=2.0, lam=0.1, noise_var=0.05,
        readout_levels=[1.0, -1.0], readout_fractions=[0.5, 0.5],
    ).solve()
    for prediction, expected in (
        (one, dict(test_error=0.134833678142, train_error=0.0458673828882, m=[0.2757223945, 0.6419230126],
                   th=[0.001580844091, -0.00447497076], psi=[0.1683526445, 0.2141472373])),
        (two, dict(test_error=0.250826804911, train_error=0.0953181407492, m=[0.354624006, -0.354624006], th=[0, 0],
                   psi=[0.1796968313, 0.1796968313])),
    ):
        assert prediction.converged and prediction.residual < 1e-12
        for name, value in expected.items():
            np.testing.assert_allclose(prediction.values[name], value, rtol=1e-9, atol=1e-10)
    assert one.chi == 0


@pytest.mark.parametrize("problem", [
    SpikedRandomFeatures(**{**FEATURES, "readout_levels": [0.5, 2.0, -1.0], "readout_fractions": [0.2, 0.3, 0.5],
                            "bulk_variance": [1.0, 1.5, 0.7]}),
    GiantStep(**ISOTROPIC, readout_levels=[0.5, 2.0, -1.0], readout_fractions=[0.2, 0.3, 0.5]),
], ids=["features", "step"])
def test_permuted_levels(problem):
    order = [2, 0, 1]
    changes = dict(readout_levels=problem.readout_levels[order], readout_fractions=problem.readout_fractions[order])
    if isinstance(problem, SpikedRandomFeatures):
        changes["bulk_variance"] = problem.bulk_variance[order]
    one, two = problem.solve(), problem.replace(**changes).solve()
    assert_close(one, two)
    for name in VECTORS:
        np.testing.assert_allclose(one.values[name][order], two.values[name], rtol=1e-8, atol=1e-10)
    for name in MATRICES:
        np.testing.assert_allclose(one.values[name][np.ix_(order, order)], two.values[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("lam", [0.1, 0.0])
def test_identical_groups_are_one_group(lam):
    given = {**FEATURES, "bulk_variance": 1.3, "alpha": [0.4, 1.5], "noise_var": 0.1, "lam": lam}
    one = SpikedRandomFeatures(**{**given, "readout_levels": [0.8], "readout_fractions": [1.0]}).solve()
    three = SpikedRandomFeatures(
        **{**given, "readout_levels": [0.8, 0.8, 0.8], "readout_fractions": [0.2, 0.3, 0.5]}
    ).solve()
    assert_close(one, three)
    for name in VECTORS:
        np.testing.assert_allclose(np.sum(three.values[name], axis=-1), one.values[name], rtol=1e-10)
    finite = (lam > 0) | (given["alpha"] > np.float64(1.0))
    for name in MATRICES:
        whole = np.sum(np.where(np.isfinite(three.values[name]), three.values[name], 0.0), axis=(-2, -1))
        np.testing.assert_allclose(whole[finite], one.values[name][finite], rtol=1e-10)
    labels = list(from_prediction(three))
    assert "m[0]" in labels and "q1[2,1]" in labels  # levels that are equal do not tell columns apart


def test_groups_of_an_odd_activation_do_not_know_the_sign_of_their_level():
    plus = SpikedRandomFeatures(**FEATURES).solve()
    minus = SpikedRandomFeatures(**{**FEATURES, "readout_levels": [0.5, -2.0]}).solve()
    assert_close(plus, minus, rtol=1e-9)
    both = {**FEATURES, "bulk_variance": 1.2}
    pair = SpikedRandomFeatures(**{**both, "readout_levels": [1.0, -1.0], "readout_fractions": [0.3, 0.7]}).solve()
    alone = SpikedRandomFeatures(**{**both, "readout_levels": [1.0], "readout_fractions": [1.0]}).solve()
    assert_close(pair, alone, rtol=1e-9)


@pytest.mark.parametrize("model", ["exact_step", "isotropic"])
@pytest.mark.parametrize("activation", ["tanh", "x + 0.4*(x**2 - 1)"])
def test_one_level_is_a_learning_rate_where_the_activation_has_no_mean(model, activation):
    given = {**STEP, "activation": activation, "model": model}
    for level in (0.6, -1.4):
        one = GiantStep(**given, readout_levels=[level]).solve()
        # without mean output a negative level is a step towards the opposite labels
        target = "sin(x)" if level > 0 else "-sin(x)"
        same = GiantStep(**{**given, "eta": abs(level), "target": target}).solve()
        assert_close(one, same)
        if level > 0:
            assert_close(one, same, (*one.values,)[:-1])
        assert one.spike_strength == pytest.approx(level * GiantStep(**given).solve().spike_strength, rel=1e-12)


@pytest.mark.parametrize("model", ["exact_step", "isotropic"])
def test_one_level_shifts_the_labels_by_the_output_of_the_network(model):
    """With a mean c_0, level u is a target shifted by (1 - u) c_0, which the readout can undo: relu has a mean."""
    mean = 1 / math.sqrt(2 * math.pi)
    one = GiantStep(**{**STEP, "model": model}, readout_levels=[0.6]).solve()
    same = GiantStep(**{**STEP, "model": model, "eta": 0.6, "target": f"sin(x) + {0.4 * mean!r}"}).solve()
    for name in ("spike_strength", "bulk_variance", "alignment"):
        assert one.values[name] == pytest.approx(same.values[name], rel=1e-12)
    no_step = GiantStep(**{**STEP, "model": model, "eta": 0.0}).solve()
    assert_close(GiantStep(**{**STEP, "model": model}, readout_levels=[0.0]).solve(), no_step)


def test_one_level_of_features_multiplies_the_spike():
    given = {**FEATURES, "bulk_variance": 1.1}
    one = SpikedRandomFeatures(**{**given, "readout_levels": [-0.7], "readout_fractions": [1.0]}).solve()
    same = SpikedRandomFeatures(
        **{**given, "readout_levels": [1.0], "readout_fractions": [1.0], "spike_strength": -0.7}
    ).solve()
    assert_close(one, same, (*one.values,), rtol=1e-14)


def test_step_parameters_of_the_groups():
    """c_g and r of every group are those of one level at the label mean of all."""
    step = GiantStep(**ISOTROPIC, **TWO).solve()
    activation, target = asy.nonlinearity("relu"), asy.nonlinearity("sin")
    c, t = activation.hermite_coefficients(2), target.hermite_coefficients(1)
    shift = 1.25 * c[0]
    power = target.second_moment() + 0.1 + shift**2
    norm = np.sqrt(t[1] ** 2 + power / 2)
    levels = np.array([0.5, 2.0])
    bulk = (1 - np.sqrt(2) * levels * c[2] * shift) ** 2 + levels**2 * activation.slope_variance() * power / 2
    assert step.spike_strength == pytest.approx(c[1] * norm, rel=1e-12)
    assert step.alignment == pytest.approx(t[1] / norm, rel=1e-12)
    np.testing.assert_allclose(step.bulk_variance, bulk, rtol=1e-12)
    features = SpikedRandomFeatures(
        activation="relu", target="sin", alpha=2.0, lam=0.1, noise_var=0.1, spike_strength=step.spike_strength,
        bulk_variance=step.bulk_variance, alignment=step.alignment, **TWO,
    ).solve()
    assert_close(step, features, (*SCALARS, *VECTORS, *MATRICES), rtol=1e-13)
    assert np.isnan(step.isotropic_gap)


def test_grids_are_their_cells():
    axes = asy.grid(eta=[0.0, 1.0, 2.0], alpha=[0.5, 1.5], lam=[0.01, 1.0])
    grid = GiantStep(**{**ISOTROPIC, **axes}, **TWO).solve()
    assert grid.m.shape == (3, 2, 2, 2) and grid.q1.shape == (3, 2, 2, 2, 2)
    assert grid.bulk_variance.shape == (3, 2, 2, 2) and grid.test_error.shape == (3, 2, 2)
    for index in np.ndindex(grid.problem.shape):
        cell = grid.problem.isel(**dict(zip(grid.problem.dims, index, strict=True)))
        single = cell.solve()
        for name, values in grid.values.items():
            np.testing.assert_allclose(values[index], single.values[name], rtol=1e-9, atol=1e-11, err_msg=name)
    shared = SpikedRandomFeatures(**{**FEATURES, "bulk_variance": xr.DataArray([1.0, 1.5], dims="bulk_variance")})
    assert shared.dims == ("bulk_variance",) and shared.solve().m.shape == (2, 2)
    assert SpikedRandomFeatures(**{**FEATURES, "alpha": np.array([])}).solve().q1.shape == (0, 2, 2)
    assert GiantStep(**{**ISOTROPIC, "eta": np.array([])}, **TWO).solve().bulk_variance.shape == (0, 2)


def test_check_and_optimal_ridge():
    problem = SpikedRandomFeatures(**{**FEATURES, "alpha": [0.5, 2.0], "noise_var": 0.1})
    assert max(asy.check(problem).values()) < 1e-10
    best = problem.optimal_ridge()
    here = best.solve(["test_error"]).test_error
    for factor in (0.9, 1.1):
        assert np.all(best.replace(lam=best.lam * factor).solve(["test_error"]).test_error > here)


# ---- the limit without ridge


def test_interpolation():
    problem = SpikedRandomFeatures(**{**FEATURES, "noise_var": 0.1, "alpha": [0.3, 0.7, 1.5], "lam": 0.0})
    limit, near = problem.solve(), problem.replace(lam=1e-9).solve()
    assert np.all(limit.converged)
    np.testing.assert_allclose(limit.test_error, near.test_error, rtol=1e-6)
    np.testing.assert_allclose(limit.q1, near.q1, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(limit.train_error[:2], 0.0)
    np.testing.assert_array_equal(limit.V2[:2], np.inf)
    np.testing.assert_array_equal(limit.V1[0], [[np.inf, -np.inf], [-np.inf, np.inf]])


def test_interpolation_threshold():
    problem = SpikedRandomFeatures(**{**FEATURES, "noise_var": 0.1, "alpha": [0.7, 1.0], "lam": 0.0})
    with pytest.warns(AccuracyWarning, match="1 of 2 cells sit at the interpolation threshold"):
        prediction = problem.solve()
    assert prediction.converged.all()
    np.testing.assert_array_equal(np.isinf(prediction.test_error), [False, True])
    np.testing.assert_array_equal(prediction.q1[1], [[np.inf, -np.inf], [-np.inf, np.inf]])
    assert np.all(np.isnan(prediction.m[1])) and np.all(np.isfinite(prediction.m[0]))


def test_without_mean_activation_and_without_ridge():
    """n_crossover is infinite at both ridges that stand for none: no difference of infinities."""
    given = dict(activation="tanh", target="sin", spike_strength=0.0, alignment=0.5, alpha=0.5, lam=0.0)
    assert SpikedRandomFeatures(**given).solve().n_crossover == np.inf
    assert SpikedRandomFeatures(**given, **TWO).solve().n_crossover == np.inf


# ---- accuracy warnings


def test_nearly_dependent_levels():
    given = dict(
        activation="erf(x/sqrt(2))", target="he3", spike_strength=1.0, alignment=0.8, alpha=2.0, beta=1.2, lam=0.1,
        noise_var=0.05,
    )
    with pytest.warns(AccuracyWarning, match=r"1 of 1 cells .*condition number up to \de\+1\d.*give n_finite"):
        SpikedRandomFeatures(**given, readout_levels=[1, 1.001, 1.002], readout_fractions=[0.3, 0.4, 0.3]).solve()
    three = dict(bulk_variance=[1.0, 1.2, 1.4], readout_levels=[0.3, 1.0, 2.0], readout_fractions=[0.3, 0.4, 0.3])
    problem = SpikedRandomFeatures(**given, **three, n_finite=[1000, 10**7])
    with pytest.warns(AccuracyWarning, match=r"1 of 2 cells have mean readouts \|m\| up to [\d.]+ sqrt\(n\)"):
        prediction = problem.solve(["test_error"])
    assert prediction.test_error[0] == pytest.approx(1.0728, abs=5e-5)


def test_gaussian_readout():
    for groups in (1, 2, 5, 8):
        readout = asy.gaussian_readout(groups)
        u, pi = readout["readout_levels"], readout["readout_fractions"]
        for power in range(2 * groups):
            moment = 0.0 if power % 2 else float(np.prod(np.arange(1, power, 2)))
            assert pi @ u**power == pytest.approx(moment, rel=1e-10, abs=1e-8)
    given = dict(activation="relu", target="sin", alpha0=4, eta=1.0, alpha=1.5, lam=0.1, model="isotropic")
    errors = [GiantStep(**given, n_finite=10**4, **asy.gaussian_readout(groups)).solve("test_error").test_error
              for groups in (4, 6, 8)]
    assert abs(errors[2] - errors[1]) < 0.1 * abs(errors[1] - errors[0]) + 1e-3 * errors[2]
    assert SpikedRandomFeatures(**{**FEATURES, "bulk_variance": 1, **asy.gaussian_readout(10)}).solve().converged
    for wrong in (0, 11, 2.5, "3", None):
        with pytest.raises(ParameterError, match="groups: must be a whole number between 1 and 10"):
            asy.gaussian_readout(wrong)


# ---- what is accepted and refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"readout_fractions": [1.0]}, r"readout_fractions: must have one value per readout level \(2\), got 1"),
        ({"readout_levels": [1.0]}, r"readout_fractions: must have one value per readout level \(1\), got 2"),
        ({"readout_fractions": [0.5, 0.4]}, "readout_fractions: must add up to 1, got 0.9"),
        ({"readout_fractions": [1.0, 0.0]}, r"readout_fractions: must be > 0, got 0 at index \(1,\)"),
        ({"readout_fractions": [1.5, -0.5]}, "readout_fractions: must be > 0, got -0.5"),
        ({"readout_levels": [0.5, np.inf]}, "readout_levels: must be a finite number, got inf"),
        ({"readout_levels": 1.0}, "readout_levels: must be a list of numbers, got 1.0"),
        ({"readout_levels": "abc"}, "readout_levels: must be numbers, got 'abc'"),
        ({"readout_levels": [[1.0], [1.0, 2.0]]}, "readout_levels: must be numbers, got a ragged list"),
        ({"readout_levels": np.arange(17.0), "readout_fractions": np.full(17, 1 / 17)},
         "readout_levels: must have at most 16 values, got 17"),
    ],
)
@pytest.mark.parametrize("problem", [(SpikedRandomFeatures, {**FEATURES, "bulk_variance": 1.0}),
                                     (GiantStep, {**ISOTROPIC, **TWO})], ids=["features", "step"])
def test_refusals(problem, changes, message):
    theory, given = problem
    with pytest.raises(ParameterError, match=message):
        theory(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bulk_variance": [1.0, 2.0, 3.0]},
         r"bulk_variance: must be a number or one value per readout level \(2\), got 3"),
        ({"bulk_variance": [1.0, 0.0]}, r"bulk_variance: must be > 0, got 0 at index \(1,\)"),
        ({"bulk_variance": np.ones((2, 2))}, "bulk_variance: must be a list of numbers"),
        ({"row_norm_variance": 0.1}, "row_norm_variance: is derived for one readout level only"),
        ({"alpha": xr.DataArray([1.0, 2.0], dims="group")}, "group: is the name of an observable or of its axis"),
        ({"alpha": xr.DataArray([1.0, 2.0], dims="group_2")}, "group_2: is the name of an observable or of its axis"),
    ],
)
def test_refusals_of_features(changes, message):
    with pytest.raises(ParameterError, match=message):
        SpikedRandomFeatures(**{**FEATURES, **changes})


def test_the_axis_group_is_free_with_one_level():
    given = {**FEATURES, "bulk_variance": [1.0, 1.5], "readout_levels": [1.0], "readout_fractions": [1.0]}
    assert SpikedRandomFeatures(**given).dims == ("bulk_variance",)
    assert SpikedRandomFeatures(**{**given, "bulk_variance": xr.DataArray([1.0, 1.5], dims="group")}).dims == ("group",)


def test_the_model_of_several_levels():
    with pytest.warns(AccuracyWarning, match='model is "isotropic"') as caught:
        problem = GiantStep(**STEP, **TWO)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert problem.model == "isotropic" and problem == GiantStep(**ISOTROPIC, **TWO)
    with warnings.catch_warnings():  # the model is stored: nothing is said again
        warnings.simplefilter("error")
        assert pickle.loads(pickle.dumps(problem)) == problem
        problem.replace(lam=1.0).solve(["test_error"])
    with pytest.raises(ParameterError, match="model: exact_step is derived for one readout level only"):
        GiantStep(**STEP, **TWO, model="exact_step")
    one = GiantStep(**STEP)
    assert one.model == "exact_step"
    with pytest.raises(ParameterError, match="model: exact_step is derived for one readout level only"):
        one.replace(**TWO)
    with pytest.warns(AccuracyWarning, match="isotropic"):
        sizes = dict(d=100, p=200, n=300, n0=400)
        assert GiantStep.from_sizes(activation="relu", target="sin", eta=1, lam=1, **sizes, **TWO).n_finite == 300


@pytest.mark.parametrize("problem", [SpikedRandomFeatures(**FEATURES), GiantStep(**ISOTROPIC, **TWO)],
                         ids=["features", "step"])
def test_a_problem_is_a_value(problem):
    copy = pickle.loads(pickle.dumps(problem))
    assert copy == problem and hash(copy) == hash(problem) and repr(copy) == repr(problem)
    other = problem.replace(readout_fractions=[0.4, 0.6])
    assert other != problem and other.replace(readout_fractions=[0.5, 0.5]) == problem
    assert not problem.readout_levels.flags.writeable
    assert "readout_levels=[0.5, 2.0]" in repr(problem)
    np.testing.assert_array_equal(copy.solve().q1, problem.solve().q1)


def test_variances_by_number_vector_and_label():
    number, vector = (SpikedRandomFeatures(**{**FEATURES, "bulk_variance": c}) for c in (1.3, [1.3, 1.3]))
    assert_close(number.solve(), vector.solve(), rtol=1e-14)
    assert number.bulk_variance == 1.3 and vector.bulk_variance.tolist() == [1.3, 1.3] and vector.shape == ()
    labelled = GiantStep(**ISOTROPIC, **TWO).solve().to_dataset().bulk_variance
    taken = SpikedRandomFeatures(**{**FEATURES, "bulk_variance": labelled})
    np.testing.assert_array_equal(taken.bulk_variance, labelled.values)


# ---- labels, files, command line


def test_dataset_has_the_axes_of_the_groups(tmp_path):
    problem = SpikedRandomFeatures(**{**FEATURES, **asy.grid(alpha=[0.5, 1.5], lam=[0.1, 1.0, 2.0])})
    dataset = problem.solve().to_dataset()
    assert dataset.m.dims == ("alpha", "lam", "group") and dataset.q1.dims == ("alpha", "lam", "group", "group_2")
    assert dataset.sizes == {"alpha": 2, "lam": 3, "group": 2, "group_2": 2}
    assert dataset.group.values.tolist() == dataset.group_2.values.tolist() == [0.5, 2.0]
    assert float(dataset.m.sel(group=2.0)[1, 0]) == pytest.approx(0.6419230126, rel=1e-9)
    parameters = json.loads(dataset.attrs["parameters"])
    assert parameters["readout_levels"] == [0.5, 2.0] and parameters["bulk_variance"] == [1.0, 1.5]
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "a.nc", engine="scipy") as stored:
        xr.testing.assert_identical(stored.load(), dataset)
    table = from_prediction(problem.solve())
    assert {"m[0.5]", "m[2.0]", "V1[0.5,2.0]", "test_error"} <= set(table)
    assert from_dataset(dataset)["V1[0.5,2.0]"] == table["V1[0.5,2.0]"]
    assert "group" not in problem.solve(["test_error"]).to_dataset().sizes


def test_command_line(capsys, tmp_path):
    given = {**ISOTROPIC, **TWO, "alpha": [0.5, 1.5]}
    assert main(["predict", "giant-step", "--params", json.dumps(given), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    expected = GiantStep(**given).solve()
    assert answer["parameters"]["readout_levels"] == [0.5, 2.0] and answer["parameters"]["model"] == "isotropic"
    np.testing.assert_array_equal(answer["observables"]["q1"], expected.q1)
    np.testing.assert_array_equal(answer["observables"]["bulk_variance"], expected.bulk_variance)
    given.pop("model")
    files = ["--csv", str(tmp_path / "a.csv"), "--netcdf", str(tmp_path / "a.nc"), "--plot", str(tmp_path / "a.png")]
    assert main(["predict", "giant-step", "--params", json.dumps(given), *files]) == 0
    out, err = capsys.readouterr()
    assert "m[2.0]" in out and err.count("warning: ") == 1 and "isotropic" in err
    assert main(["predict", "giant-step", "--params", json.dumps(given), "--set", "model=exact_step"]) == 2
    assert capsys.readouterr().err.startswith("error: model: exact_step is derived for one readout level only")
    features = {**FEATURES, "bulk_variance": [1, 1.5]}
    assert main(["predict", "spiked-random-features", "--params", json.dumps(features)]) == 0


def test_studies(tmp_path):
    study = {
        "theory": "spiked-random-features",
        "parameters": {key: value for key, value in FEATURES.items() if key not in ("alpha", "lam")},
        "axes": {"alpha": [0.5, 1.5], "lam": [0.1, 1.0]},
        "output": {"observables": ["test_error", "m"], "table": "a.csv", "netcdf": "a.nc"},
    }
    dataset = run_study(parse(study), tmp_path).dataset
    assert dataset.m.dims == ("alpha", "lam", "group")
    for wrong, message in (
        ({"readout_levels": [1.0]}, "parameters.bulk_variance: must be one value"),
        ({"readout_levels": ["a", "b"]}, "parameters.readout_levels: must be numbers"),
        ({"readout_fractions": [0.5, 0.4]}, "parameters.readout_fractions: must add up to 1"),
    ):
        with pytest.raises(ParameterError, match=message):
            parse({**study, "parameters": {**study["parameters"], **wrong}})
    run_study(parse({**study, "output": {"observables": ["m"], "plot": "a.png"}}), tmp_path)  # a line for each group
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    levels = {**study, "axes": {"readout_levels": [[0.5, 2.0], [1.0, -1.0]], "alpha": [0.5, 1.5]}}
    levels["parameters"] = {key: value for key, value in study["parameters"].items()
                            if key not in ("readout_levels", "bulk_variance")} | {"lam": 0.1}
    dataset = run_study(parse(levels), tmp_path).dataset
    assert dataset.m.dims == ("readout_levels", "alpha", "group") and "group" not in dataset.coords
    assert float(dataset.test_error[0, 1]) == pytest.approx(
        SpikedRandomFeatures(**{**FEATURES, "bulk_variance": 1.0}).solve().test_error, rel=1e-12
    )


# ---- networks


def runs(simulate, problem, d, count):
    networks = [simulate(problem, {"d": d, "test": 2000}, seed) for seed in range(count)]
    return {name: np.stack([run[name] for run in networks], axis=-1) for name in networks[0]}


@pytest.mark.parametrize(
    ("simulate", "problem", "names"),
    [
        (spiked_random_features.simulate, SpikedRandomFeatures(
            activation="relu", target="tanh", spike_strength=1.2, alignment=0.7, alpha=2.0, lam=0.1, noise_var=0.05,
            bulk_variance=[1.0, 1.3], readout_levels=[1.0, -1.0], readout_fractions=[0.4, 0.6], n_finite=400,
        ), (*ERRORS, "m", "th", "psi", "q1", "q2")),
        (giant_step.simulate, GiantStep(
            activation="relu", target="tanh", alpha0=8.0, eta=1.2, alpha=2.0, lam=0.3, noise_var=0.05, n_finite=400,
            readout_levels=[1.0, -1.0], readout_fractions=[0.4, 0.6], model="isotropic",
        ), (*ERRORS, "m", "q2", "spike_strength", "bulk_variance", "alignment")),
    ],
    ids=["features", "step"],
)
def test_networks_with_several_levels(simulate, problem, names):
    """Of the step, what the isotropic model is good for."""
    samples = runs(simulate, problem, 200, 16)
    assert samples["m"].shape == (2, 16) and samples["q1"].shape == (2, 2, 16)
    report = compare(problem, samples, observables=names)
    assert max(abs(row.z) for row in report.rows) < 4.5, str(report)
    assert [row.observable for row in report.rows][2:4] == ["m[0]", "m[1]"]
    changes = {"readout_levels": [1.0], "readout_fractions": [1.0]}
    if isinstance(problem, SpikedRandomFeatures):
        changes["bulk_variance"] = 1.2
    one = compare(problem.replace(**changes), {name: samples[name] for name in ERRORS})
    assert max(abs(row.z) for row in one.rows) > 9


def test_networks_too_small_for_a_level_are_refused():
    problem = SpikedRandomFeatures(**{**FEATURES, "readout_fractions": [0.99, 0.01]})
    with pytest.raises(ParameterError, match="readout_fractions: must leave every level a neuron"):
        spiked_random_features.simulate(problem, {"d": 10}, 0)
