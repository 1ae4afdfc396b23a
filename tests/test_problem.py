"""The three words: problems, their cells and labels, and predictions."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import asymptotics as asy
from asymptotics import AccuracyWarning, ParameterError
from asymptotics.parameters import observable, parameter
from asymptotics.problem import Prediction, Problem
from tests.toy import Toy, ToyPrediction

POSITIVE = st.floats(0.125, 64.0)


def vectors(low: int = 0, high: int = 5) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, st.integers(low, high), elements=POSITIVE)


@st.composite
def plain_problems(draw: st.DrawFn) -> Toy:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=4, min_side=1)).input_shapes
    alpha, lam, shift = (draw(hnp.arrays(np.float64, shape, elements=st.floats(0.125, 8.0))) for shape in shapes)
    return Toy(alpha=alpha, lam=lam, shift=shift)


@st.composite
def labelled_problems(draw: st.DrawFn) -> Toy:
    names = draw(st.permutations(["alpha", "lam", "shift"]))
    axes = {name: draw(hnp.arrays(np.float64, st.integers(1, 4), elements=st.floats(0.125, 8.0))) for name in names}
    return Toy(**asy.grid(**axes))


problems = st.one_of(plain_problems(), labelled_problems())


# ---- cells from NumPy arrays


@given(plain_problems())
def test_plain_arrays_broadcast_as_in_numpy(problem: Toy) -> None:
    shape = np.broadcast_shapes(*(np.shape(getattr(problem, name)) for name in ("alpha", "lam", "shift")))
    assert problem.shape == shape
    assert len(problem.dims) == len(shape) == len(set(problem.dims))
    with np.errstate(all="ignore"):
        expected = 2.0 / (problem.alpha + problem.lam) + problem.lam + problem.shift
    np.testing.assert_allclose(problem.solve().test_error, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("parameters", "dims"),
    [
        ({"alpha": 1.0, "lam": 1.0}, ()),
        ({"alpha": [1.0, 2.0], "lam": 1.0}, ("alpha",)),
        ({"alpha": [1.0], "lam": 1.0}, ("alpha",)),
        ({"alpha": [], "lam": 1.0}, ("alpha",)),
        ({"alpha": [1.0, 2.0], "lam": [0.0, 1.0]}, ("dim_0",)),
        ({"alpha": [[1.0], [2.0]], "lam": [0.0, 1.0, 2.0]}, ("alpha", "lam")),
        ({"alpha": [[1.0], [2.0]], "lam": [[0.0, 1.0, 2.0]]}, ("alpha", "lam")),
        ({"alpha": [1.0, 2.0], "lam": [[0.0], [1.0]], "shift": [0.0, 1.0]}, ("lam", "dim_1")),
        ({"alpha": [[1.0, 2.0], [3.0, 4.0]], "lam": 0.0}, ("dim_0", "dim_1")),
        ({"alpha": [[1.0], [2.0]], "lam": 0.0}, ("alpha", "dim_1")),
    ],
)
def test_an_axis_is_named_after_the_only_parameter_that_varies_along_it(parameters: dict, dims: tuple) -> None:
    assert Toy(**parameters).dims == dims


def test_observables_of_a_single_cell_are_numpy_scalars() -> None:
    prediction = Toy(alpha=1.0, lam=1.0).solve()
    assert isinstance(prediction.test_error, np.float64)
    assert isinstance(prediction.converged, np.bool_)
    assert isinstance(prediction.residual, np.float64)
    assert prediction.spectrum.shape == (2,)


def test_an_empty_axis_has_an_empty_answer() -> None:
    prediction = Toy(alpha=[], lam=1.0).solve()
    assert prediction.test_error.shape == (0,)
    assert prediction.spectrum.shape == (0, 2)
    assert asy.check(prediction.problem)["test_error"] == 0.0


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"lam: must broadcast .*\(2,\), got shape \(3,\)"):
        Toy(alpha=[1.0, 2.0], lam=[1.0, 2.0, 3.0])


# ---- cells from labelled arrays


@given(alpha=vectors(1), lam=vectors(1))
def test_grid_spans_the_product_in_the_order_of_its_keywords(alpha: np.ndarray, lam: np.ndarray) -> None:
    problem = Toy(**asy.grid(lam=lam, alpha=alpha))
    assert problem.dims == ("lam", "alpha")
    assert problem.shape == (lam.size, alpha.size)
    prediction = problem.solve()
    np.testing.assert_allclose(prediction.fit_error, 2.0 / (alpha[None, :] + lam[:, None]))
    plain = Toy(lam=lam[:, None], alpha=alpha).solve()
    np.testing.assert_array_equal(plain.test_error, prediction.test_error)


def test_labelled_arrays_broadcast_by_name_in_any_order() -> None:
    run, alpha = np.arange(2), np.array([1.0, 2.0, 3.0])
    shift = xr.DataArray([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], dims=("alpha", "run"), coords={"run": run})
    problem = Toy(shift=shift.transpose("run", "alpha"), **asy.grid(alpha=alpha), lam=0.5)
    assert problem.dims == ("run", "alpha")
    assert problem.shape == (2, 3)
    np.testing.assert_allclose(problem.solve().noise_error, 0.5 + shift.values.T)
    dataset = problem.solve().to_dataset()
    assert set(dataset.coords) == {"run", "alpha", "shift"}
    assert dataset["shift"].dims == ("run", "alpha")


def test_labelled_and_plain_arrays_do_not_mix() -> None:
    axes = asy.grid(alpha=[1.0, 2.0])
    with pytest.raises(ParameterError, match="lam: must be a number or a labelled array beside the labelled alpha"):
        Toy(**axes, lam=[1.0, 2.0])
    for lam in (1, 1.0, np.float32(1.0), np.array(1.0), xr.DataArray(1.0)):
        assert Toy(**axes, lam=lam) == Toy(**axes, lam=1.0)


def test_differing_coordinates_and_lengths_are_refused() -> None:
    def along_run(labels: list) -> xr.DataArray:
        return xr.DataArray(np.ones(len(labels)), dims="run", coords={"run": labels})

    with pytest.raises(ParameterError, match="lam: must have the same coordinates along 'run'"):
        Toy(alpha=along_run([0, 1]), lam=along_run([0, 2]))
    with pytest.raises(ParameterError, match="lam: must have length 2 along 'run', got 3"):
        Toy(alpha=along_run([0, 1]), lam=along_run([0, 1, 2]))
    assert Toy(alpha=along_run([0, 1]), lam=xr.DataArray([1.0, 2.0], dims="run")).shape == (2,)


def test_a_parameter_keeps_its_own_values_as_coordinates() -> None:
    with pytest.raises(ParameterError, match="lam: must have its own values as coordinates along 'lam'"):
        Toy(alpha=1.0, lam=xr.DataArray([0.1, 1.0], dims="lam", coords={"lam": [0, 1]}))


@pytest.mark.parametrize("dim", ["degree", "test_error"])
def test_an_axis_named_like_a_trailing_axis_or_an_observable_is_refused(dim: str) -> None:
    with pytest.raises(ParameterError, match=f"{dim}: is the name of an observable or of its axis in toy"):
        Toy(alpha=xr.DataArray([1.0, 2.0], dims=dim), lam=1.0)


def test_grid_takes_one_axis_per_parameter() -> None:
    with pytest.raises(ParameterError, match="alpha: must be a list of values along one axis, got 2 axes"):
        asy.grid(alpha=[[1.0], [2.0]])
    assert asy.grid(alpha=3.0)["alpha"].shape == (1,)


# ---- a problem is a value


@given(problems)
def test_identity_is_content(problem: Toy) -> None:
    twin = Toy(**{name: getattr(problem, name) for name in vars(problem) if name in problem.parameters})
    assert twin == problem
    assert hash(twin) == hash(problem)
    assert problem != problem.replace(levels=[1.0, 2.5])
    assert len({problem, twin, problem.replace(model="double")}) == 2


@given(problems)
def test_pickle_keeps_everything(problem: Toy) -> None:
    copy = pickle.loads(pickle.dumps(problem))
    assert copy == problem
    assert hash(copy) == hash(problem)
    assert repr(copy) == repr(problem)
    assert copy.dims == problem.dims
    np.testing.assert_array_equal(copy.solve().test_error, problem.solve().test_error)


def test_labels_are_part_of_the_identity() -> None:
    plain = Toy(alpha=[1.0, 2.0], lam=1.0)
    labelled = Toy(**asy.grid(alpha=[1.0, 2.0]), lam=1.0)
    runs = [Toy(alpha=xr.DataArray([1.0, 2.0], dims="run", coords={"run": run}), lam=1.0) for run in ([0, 1], [0, 2])]
    assert len({plain, labelled, *runs}) == 4
    assert plain != "a string"
    assert len({Toy(**asy.grid(alpha=[1.0], lam=[1.0])), Toy(**asy.grid(lam=[1.0], alpha=[1.0]))}) == 2


def test_callables_are_told_apart_by_identity() -> None:
    def twice(x: np.ndarray) -> np.ndarray:
        return 2 * x

    def thrice(x: np.ndarray) -> np.ndarray:
        return 3 * x

    first, again, other = (Toy(alpha=1.0, lam=1.0, activation=asy.nonlinearity(f)) for f in (twice, twice, thrice))
    assert first == again
    assert hash(first) == hash(again)
    assert first != other


@given(problems)
def test_repr_is_one_readable_line(problem: Toy) -> None:
    text = repr(problem)
    assert text.startswith("Toy(")
    assert "\n" not in text
    assert all(f"{name}=" in text for name in ("alpha", "lam", "shift", "activation", "model"))
    assert "n=" not in text.replace("activation=", "")


def test_repr_summarises_long_arrays() -> None:
    assert "alpha=<100; 1 to 2>" in repr(Toy(alpha=np.linspace(1.0, 2.0, 100), lam=1.0))
    assert "alpha=<alpha: 100; 1 to 2>" in repr(Toy(**asy.grid(alpha=np.linspace(1.0, 2.0, 100)), lam=1.0))
    assert "lam=0.5" in repr(Toy(alpha=1.0, lam=0.5))


def test_problems_and_predictions_are_frozen() -> None:
    given = np.array([1.0, 2.0])
    problem = Toy(alpha=given, lam=1.0)
    given[0] = 7.0
    assert problem.alpha[0] == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.alpha = 2.0  # type: ignore[misc]
    for array in (problem.alpha, problem.levels, problem.solve().test_error, problem.solve().converged):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    labelled = Toy(**asy.grid(alpha=[1.0, 2.0]), lam=1.0)
    with pytest.raises(ValueError, match="read-only"):
        labelled.alpha[0] = 1.0
    prediction = problem.solve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.test_error = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        del prediction.problem


def test_a_matrix_is_one_value_of_a_problem() -> None:
    given = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    problem = Toy(alpha=[1.0, 2.0], lam=1.0, weights=given)
    assert problem.shape == (2,)
    assert problem.weights.dtype == np.float64 and not problem.weights.flags.writeable
    labelled = xr.DataArray(given, dims=("row", "column"))
    same = (given.tolist(), np.asfortranarray(given), given.astype(np.int32), labelled)
    for value in same:
        twin = Toy(alpha=[1.0, 2.0], lam=1.0, weights=value)
        assert twin == problem and hash(twin) == hash(problem)
    assert pickle.loads(pickle.dumps(problem)) == problem == problem.replace(lam=1.0)
    for other in (given.T, given.reshape(1, 6), given + 1):
        assert problem.replace(weights=other) != problem
    given[0, 0] = 7.0
    assert problem.weights[0, 0] == 1.0
    assert "weights=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]" in repr(problem)
    assert "weights=<4x5; 0 to 0>" in repr(problem.replace(weights=np.zeros((4, 5))))
    stored = json.loads(problem.solve().to_dataset().attrs["parameters"])["weights"]
    assert stored == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert problem.replace(weights=stored) == problem
    assert problem.isel(alpha=0).weights.shape == (2, 3)


def test_observables_may_not_be_named_like_parameters() -> None:
    class Clash(Prediction):
        alpha = observable("an error")

    with pytest.raises(TypeError, match=r"alpha.*both parameters and observables"):
        type("Wrong", (Problem,), {"prediction": Clash, "alpha": parameter("a"), "__annotations__": {"alpha": "float"}})


# ---- parts of a problem


@given(problems, st.data())
def test_isel_selects_cells_of_the_answer(problem: Toy, data: st.DataObject) -> None:
    whole = problem.solve().test_error
    index: dict = {}
    key: list = []
    for dim, length in zip(problem.dims, problem.shape, strict=True):
        choices = [st.integers(-length, length - 1), st.slices(length)]
        chosen = data.draw(st.one_of(st.none(), *choices))
        key.append(slice(None) if chosen is None else chosen)
        if chosen is not None:
            index[dim] = chosen
    part = problem.isel(**index)
    np.testing.assert_array_equal(part.solve().test_error, whole[tuple(key)])


def test_isel_takes_lists_as_products() -> None:
    problem = Toy(alpha=np.arange(1.0, 5.0)[:, None] + np.arange(3.0), lam=1.0)
    part = problem.isel(dim_0=[3, 0], dim_1=[0, 2])
    np.testing.assert_array_equal(part.alpha, problem.alpha[np.ix_([3, 0], [0, 2])])
    labelled = Toy(**asy.grid(alpha=[1.0, 2.0, 3.0], lam=[1.0, 2.0]))
    assert labelled.isel(alpha=[2, 0], lam=1).alpha.values.tolist() == [3.0, 1.0]
    assert labelled.isel(alpha=0, lam=1) == Toy(alpha=1.0, lam=2.0)
    with pytest.raises(ParameterError, match="beta: must be one of the axes alpha, lam"):
        labelled.isel(beta=0)
    with pytest.raises(IndexError):
        Toy(alpha=[[1.0], [2.0]], lam=[1.0, 2.0, 3.0]).isel(lam=3)


@given(problems, st.data())
def test_sample_takes_flat_positions(problem: Toy, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, problem.cells.size - 1), min_size=1, max_size=5))
    sample = problem.sample(np.array(positions))
    np.testing.assert_array_equal(
        np.broadcast_to(sample.solve().test_error, len(positions)), np.ravel(problem.solve().test_error)[positions]
    )


def test_check_solves_again_with_finer_tables() -> None:
    changes = asy.check(Toy(**asy.grid(alpha=np.linspace(0.5, 2.0, 200), lam=[0.1, 0.2])))
    assert set(changes) == set(ToyPrediction.observables)
    assert changes["test_error"] == pytest.approx(0.5e-9 / (2 / 0.6 + 0.1), rel=0.02)
    assert changes["fit_error"] == 0.0


# ---- the answer


def test_only_the_observables_asked_for_are_computed() -> None:
    problem = Toy(alpha=[1.0, 2.0], lam=1.0)
    prediction = problem.solve(observables=["floor"])
    assert list(prediction.values) == ["floor"]
    assert prediction.floor.shape == (2,)
    with pytest.raises(AttributeError, match=r"test_error was not computed; ask for it in solve"):
        _ = prediction.test_error
    assert list(problem.solve("floor").values) == ["floor"]
    with pytest.raises(ParameterError, match="observables: 'test_eror' is not a known observable of toy; did you mean "
                                             "'test_error'"):
        problem.solve(["test_eror"])


def test_failed_cells_are_nan_and_counted_once() -> None:
    problem = Toy(alpha=[1.0, 13.0, 2.0], lam=[[1.0], [2.0]])
    with pytest.warns(AccuracyWarning, match="2 of 6 cells did not converge and are NaN") as caught:
        prediction = problem.solve()
    assert len(caught) == 1
    np.testing.assert_array_equal(prediction.converged, [[True, False, True]] * 2)
    for name in prediction.observables:
        np.testing.assert_array_equal(np.isnan(prediction.values[name][:, 1]), True)
        assert not np.any(np.isnan(prediction.values[name][:, ::2]))
    assert "2 not converged" in repr(prediction)


def test_a_singular_cell_gets_its_limit_and_a_warning() -> None:
    with pytest.warns(AccuracyWarning, match="diverges at alpha = 1"):
        prediction = Toy(alpha=[1.0, 2.0], lam=0.0).solve()
    assert prediction.test_error[0] == np.inf
    assert prediction.converged.all()


def test_the_same_problem_has_the_same_bits() -> None:
    problem = Toy(**asy.grid(alpha=np.linspace(0.1, 3.0, 50), lam=[0.1, 1.0]))
    assert problem.solve().test_error.tobytes() == problem.solve().test_error.tobytes()


# ---- datasets


def test_dataset_is_labelled() -> None:
    dataset = Toy(**asy.grid(alpha=[1.0, 2.0], lam=[0.1, 0.2, 0.3]), n=7).solve().to_dataset()
    assert dataset.sizes == {"alpha": 2, "lam": 3, "degree": 2}
    assert dataset.test_error.dims == ("alpha", "lam")
    assert dataset.spectrum.dims == ("alpha", "lam", "degree")
    assert dataset.test_error.attrs == {"long_name": "test error", "symbol": r"E_\mathrm{test}", "units": "1"}
    assert dataset.alpha.attrs == {"long_name": "samples per dimension, n/d", "symbol": r"\alpha", "units": "1"}
    assert dataset.attrs["theory"] == "toy"
    assert dataset.attrs["version"] == asy.__version__
    parameters = json.loads(dataset.attrs["parameters"])
    assert parameters["lam"] == {"dims": ["lam"], "values": [0.1, 0.2, 0.3]}
    assert parameters["n"] == 7
    assert parameters["activation"] == "tanh"
    assert set(parameters) == set(Toy.parameters)


@given(problems)
def test_dataset_survives_netcdf3(tmp_path_factory: pytest.TempPathFactory, problem: Toy) -> None:
    path = tmp_path_factory.mktemp("netcdf") / "a.nc"
    dataset = problem.solve().to_dataset()
    dataset.to_netcdf(path, engine="scipy")
    with xr.open_dataset(path, engine="scipy") as stored:
        xr.testing.assert_identical(stored.load(), dataset)
    if any(size > 1 for size in problem.shape):
        assert set(dataset.coords) >= set(problem.dims) - {"dim_0", "dim_1", "dim_2"}


def test_sizes_beyond_32_bits_survive_netcdf3(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("netcdf") / "a.nc"
    dataset = Toy(**asy.grid(n=[1, 2**40]), alpha=1.0, lam=1.0).solve().to_dataset()
    dataset.to_netcdf(path, engine="scipy")
    with xr.open_dataset(path, engine="scipy") as stored:
        assert stored.n.values.tolist() == [1, 2**40]


def test_paired_parameters_become_coordinates_of_one_axis() -> None:
    dataset = Toy(alpha=[1.0, 2.0], lam=[0.1, 0.2]).solve().to_dataset()
    assert dataset.test_error.dims == ("dim_0",)
    assert dataset.alpha.values.tolist() == [1.0, 2.0]
    assert dataset.lam.dims == ("dim_0",)


# ---- bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lam": -1}, "lam: must be >= 0, got -1"),
        ({"lam": [0.0, 1.0, -2.5]}, "lam: must be >= 0, got -2.5 at index (2,)"),
        ({"alpha": 0}, "alpha: must be > 0, got 0"),
        ({"alpha": [[1.0], [-3.0]]}, "alpha: must be > 0, got -3 at index (1, 0)"),
        ({"alpha": np.nan}, "alpha: must be a finite number, got nan"),
        ({"alpha": np.inf}, "alpha: must be a finite number, got inf"),
        ({"shift": 10}, "shift: must be < 10, got 10"),
        ({"alpha": None}, "alpha: must be a number > 0, got null"),
        ({"alpha": True}, "alpha: must be a number > 0, got True"),
        ({"alpha": "1"}, "alpha: must be a number > 0, got '1'"),
        ({"alpha": 1j}, "alpha: must be a number > 0, got 1j"),
        ({"alpha": 10**400}, "alpha: must be a number > 0, got 1000"),
        ({"alpha": {"a": 1}}, "alpha: must be a number > 0, got {'a': 1}"),
        ({"alpha": [[1.0], [1.0, 2.0]]}, "alpha: must be a number > 0, got a ragged list [[1.0], [1.0, 2.0]]"),
        ({"alpha": np.array(["x"])}, "alpha: must be a number > 0, got array(['x']"),
        ({"alpha": xr.DataArray(["x"], dims="alpha")}, "alpha: must be a number > 0, got array(['x']"),
        ({"n": 0}, "n: must be >= 1, got 0"),
        ({"n": 1.5}, "n: must be a whole number >= 1 or null, got 1.5"),
        ({"n": 1e300}, "n: must be a whole number >= 1 or null and <= 2^53, got 1e+300"),
        ({"levels": 1.0}, "levels: must be a list of numbers, got 1.0"),
        ({"levels": []}, "levels: must be a list of numbers, got []"),
        ({"levels": [1, 2, 3, 4]}, "levels: must have at most 3 values, got 4"),
        ({"levels": ["a"]}, "levels: must be numbers, got ['a']"),
        ({"weights": 1.0}, "weights: must be a matrix, a list of rows of equal length, got 1.0"),
        ({"weights": [1.0, 2.0]}, "weights: must be a matrix, a list of rows of equal length, got [1.0, 2.0]"),
        ({"weights": [[[1.0]]]}, "weights: must be a matrix, a list of rows of equal length, got [[[1.0]]]"),
        ({"weights": []}, "weights: must be a matrix, a list of rows of equal length, got []"),
        ({"weights": [[], []]}, "weights: must be a matrix, a list of rows of equal length, got [[], []]"),
        ({"weights": [[1.0], [1.0, 2.0]]}, "weights: must be rows of numbers or null, got a ragged list [[1.0], "),
        ({"weights": [["a"]]}, "weights: must be rows of numbers or null, got [['a']]"),
        ({"weights": [[1.0, np.nan]]}, "weights: must be a finite number, got nan at index (0, 1)"),
        ({"model": "summ"}, "model: must be one of sum, double, got 'summ'"),
        ({"model": 1}, "model: must be one of sum, double, got 1"),
        ({"exact": 1}, "exact: must be true or false, got 1"),
        ({"activation": "tanhh"}, "activation: "),
        ({"activation": 3}, "activation: "),
        ({"activation": ""}, "activation: "),
        ({"lambda": 1.0}, "lambda: is not a known parameter of toy; did you mean 'lam'?"),
        ({"qqq": 1.0}, "qqq: is not a known parameter of toy (alpha, lam,"),
        ({"self": 1.0}, "self: is not a known parameter of toy"),
    ],
)
def test_bad_values_are_refused_in_one_line(changes: dict, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Toy(**{"alpha": 1.0, "lam": 1.0, **changes})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.name == message.partition(":")[0]
    assert isinstance(caught.value, ValueError)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ParameterError, match=r"lam: is required \(ridge penalty\)"):
        Toy(alpha=1.0)


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
))
def test_any_json_value_is_taken_or_refused(value: object) -> None:
    for name in ("alpha", "n", "levels", "weights", "model", "exact"):
        try:
            problem = Toy(**{"alpha": 1.0, "lam": 1.0, name: value})
        except ParameterError as error:
            assert error.name == name
        else:
            assert hash(problem) == hash(pickle.loads(pickle.dumps(problem)))


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(ParameterError("lam", "must be >= 0, got -1")))
    assert str(error) == "lam: must be >= 0, got -1"
    assert (error.name, error.reason) == ("lam", "must be >= 0, got -1")


# ---- the front door


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, asymptotics; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"scipy", "sympy", "mpmath", "matplotlib", "xarray", "pandas", "tqdm"} & set(loaded)
