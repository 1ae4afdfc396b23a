"""Ridge on the data sets that come with scikit-learn: held-out errors beside predictions from half of the data.

The theory is one of Gaussian features and of the population: these features are not Gaussian, and what is known is a
sample.  The plug-in of its moments is too optimistic by what the sample fitted of itself; `FeatureRidge.from_features`
takes that out (`debias`).  What is left is shown, with allowances that are stated, not derived.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asymptotics import AccuracyWarning, FeatureRidge, ParameterError

from . import networks, structured_networks
from .judgement import Row, against
from .networks import Array
from .report import Control, Report

SPLITS = 200
RANDOM_FEATURES = 400


class Case(NamedTuple):
    """Features and labels, and readouts that are fitted to samples of them.

    Attributes
    ----------
    data : str
        Key of `DATA`.
    n : tuple of int
        Training samples.
    ridges : tuple of float
        lam/n, one for each n.
    allowance : float
        Deviation from the debiased prediction, in units of it, that is put down to features that are not Gaussian and
        to a population of which only half of the data are known.
    """

    data: str
    n: tuple[int, ...]
    ridges: tuple[float, ...]
    allowance: float


CASES = (
    Case("digits, 64 pixels", (200, 400), (0.1, 0.01), 0.04),
    Case(f"digits, {RANDOM_FEATURES} tanh features", (200, 400), (0.1, 0.01), 0.15),
    Case("diabetes, 10 features", (60, 30), (0.1, 0.01), 0.03),
)


class Errors(NamedTuple):
    """Test errors of a case, of shape (splits, readouts): two predictions from one half of the data; on the other."""

    plug_in: Array
    debiased: Array
    held_out: Array


def report(splits: int = SPLITS, seed: int = 0, cases: Sequence[Case] = CASES) -> Report:
    """Held-out errors beside the debiased prediction; it is judged by the allowance of each case.

    Parameters
    ----------
    splits : int
        Random halves of the data, >= 2.
    seed : int
        Root of all seeds, >= 0.
    cases : sequence of Case

    Returns
    -------
    Report
        The plug-in stands beside, with the standard error of the held-out errors, and is the wrong theory.

    Raises
    ------
    ParameterError
        If scikit-learn is not installed, or splits or seed are out of range.
    """
    for name, value, least in (("splits", splits, 2), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ParameterError(name, f"must be a whole number >= {least}, got {value!r}")
    rows, beside, wrong = [], [], []
    for case in cases:
        errors = measure(case, splits, seed)
        for i, (n, ridge) in enumerate(zip(case.n, case.ridges, strict=True)):
            plug_in, debiased, held_out = (float(np.mean(values[:, i])) for values in errors)
            row = Row(
                setting=case.data, cell={"n": n, "lam/n": ridge}, group=(case.data,), observable="test_error",
                theory=debiased, simulation=held_out, standard_error=case.allowance * debiased, freedom=np.inf,
                networks=splits, bounded=True,
            )
            rows.append(row)
            wrong += against([row], {"test_error": [plug_in]})
            noise = float(np.std(errors.held_out[:, i], ddof=1)) / splits**0.5
            beside.append(dataclasses.replace(row, theory=plug_in, standard_error=noise, freedom=splits - 1,
                                              judged=False, model="plug-in", bounded=False))
    return Report(
        title="ridge on real data: held-out errors beside predictions from the other half of the data",
        rows=(*rows, *beside),
        controls=(Control("plug-in", tuple(wrong)),),
        remarks=(
            f"{splits} random halves: the first gives the means and the moments of the theory; n samples of the second "
            "train the readout, the rest of it is held out.",
            "Pixels are centred and divided by one number, the root of their mean square; the features tanh(W x) have "
            "weights of variance 1/64; the columns of diabetes and its label have variance 1; odd digits are +1, even "
            "ones -1.",
            "Judged is the debiased prediction, by an allowance of 4 % (pixels), 3 % (diabetes) and, where half of the "
            "data are fewer than three samples a feature, 15 %: |z| <= 1.  It is stated, not derived: features that "
            "are not Gaussian, and eigenvalues of a sample, are beyond the theory.",
        ),
    )


def measure(case: Case, splits: int, seed: int = 0) -> Errors:
    """The errors of a case on random halves of the data."""
    F, y = DATA[case.data](seed)
    n, lam = np.array(case.n), np.multiply(case.n, case.ridges)
    found = []
    for rng in networks.generators(seed, splits):
        order = rng.permutation(len(y))
        known, fresh = np.split(order, [len(y) // 2])
        predicted = [_predicted(F[known], y[known], debias, n=n, lam=lam) for debias in (False, True)]
        # what is known of the population is used by the readouts too: no intercept is left to be fitted
        features, labels = F - np.mean(F[known], axis=0), y - np.mean(y[known])
        found.append([*predicted, [
            held_out(features[fresh], labels[fresh], count, penalty)
            for count, penalty in zip(case.n, lam.tolist(), strict=True)
        ]])
    return Errors(*np.moveaxis(np.array(found), 1, 0))


def held_out(F: Array, y: Array, n: int, lam: float) -> float:
    """Mean squared error on all but the first n samples of a ridge readout fitted to these."""
    (readout,) = structured_networks.ridge(F[:n], y[:n], [lam]).readouts
    return float(np.mean((y[n:] - F[n:] @ readout) ** 2))


def _predicted(F: Array, y: Array, debias: bool, **parameters: Any) -> Array:
    with warnings.catch_warnings():
        # heavy tails and few samples: how far the theory is off then is what the report says
        warnings.simplefilter("ignore", AccuracyWarning)
        problem = FeatureRidge.from_features(F, y, debias=debias, intercept=True, **parameters)
        return np.asarray(problem.solve(["test_error"]).test_error)


# ---- data


def digits(seed: int = 0) -> tuple[Array, Array]:
    """1797 digits: 64 pixels, centred, of mean square 1; and +1 if odd, -1 if even."""
    found = _datasets().load_digits()
    pixels = found.data - np.mean(found.data, axis=0)
    return pixels / np.sqrt(np.mean(pixels**2)), np.where(found.target % 2 == 1, 1.0, -1.0)


def digits_features(seed: int = 0) -> tuple[Array, Array]:
    """Features tanh(W x) of the pixels x, and the labels."""
    pixels, y = digits()
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(RANDOM_FEATURES,)))
    network = structured_networks.random_network(pixels.shape[1], [RANDOM_FEATURES], ["tanh"], rng)
    return network.features(pixels), y


def diabetes(seed: int = 0) -> tuple[Array, Array]:
    """442 patients: 10 measurements and the progression of the disease, of mean 0 and variance 1."""
    found = _datasets().load_diabetes()
    features, label = ((values - np.mean(values, axis=0)) / np.std(values, axis=0)
                       for values in (found.data, found.target))
    return features, label


DATA: Mapping[str, Callable[[int], tuple[Array, Array]]] = dict(
    zip((case.data for case in CASES), (digits, digits_features, diabetes), strict=True))


def _datasets() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise ParameterError("data", "need scikit-learn, which is not installed (pip install scikit-learn)") from None
    return datasets
