"""Corners of the domain: no ridge, the interpolation threshold, full alignment, tiny and huge scales."""

import numpy as np
import pytest

from asymptotics import AccuracyWarning, GiantStep, SpikedRandomFeatures

INF = float("inf")


def features(**parameters):
    common = dict(activation="relu", target="sin", spike_strength=0.5, alignment=0.8, alpha=0.5, lam=0.1, noise_var=0.1)
    return SpikedRandomFeatures(**{**common, **parameters})


def test_no_ridge_is_the_limit_of_a_small_one():
    for alpha in (0.5, 0.9, 1.2, 3.0):
        for activation in ("relu", "tanh", "sin", "sign", "he3"):
            problem = features(activation=activation, alpha=alpha, lam=[0.0, 1e-13])
            prediction = problem.solve()
            assert prediction.converged.all()
            zero, small = prediction.test_error
            assert zero == pytest.approx(small, rel=1e-9)
            if alpha < 1:
                assert prediction.train_error[0] == 0 and prediction.V2[0] == INF and prediction.V1[0] == INF
            else:
                assert prediction.train_error[0] == pytest.approx(prediction.train_error[1], rel=1e-9)


def test_no_ridge_at_the_threshold_is_infinite_and_says_so():
    problem = features(activation="tanh", alpha=[0.99, 1.0, 1.01], lam=0.0)
    with pytest.warns(AccuracyWarning, match="1 of 3 cells sit at the interpolation threshold"):
        prediction = problem.solve()
    assert prediction.converged.all()
    assert prediction.test_error[1] == INF and np.isfinite(prediction.test_error[[0, 2]]).all()
    assert prediction.train_error[1] == 0
    for name in ("m", "th", "psi", "spike_error"):
        values = getattr(prediction, name)
        assert values[1] == pytest.approx(values[[0, 2]].mean(), rel=0.05, abs=0.02)


def test_published_values_around_the_threshold():
    """tanh/sin, alpha0 = 2, eta = 2, noise .1: 41.886 at lam = 1e-6 and 439.92 at 1e-8; limits 27.604, 24.295."""
    common = dict(activation="tanh", target="sin", alpha0=2.0, eta=2.0, noise_var=0.1, noise_var_step=0.0,
                  model="isotropic")
    threshold = GiantStep(**common, alpha=1.0, lam=[1e-6, 1e-8]).solve()
    np.testing.assert_allclose(threshold.test_error, [41.886, 439.92], rtol=2e-5)
    around = GiantStep(**common, alpha=[0.99, 1.01], lam=0.0).solve()
    np.testing.assert_allclose(around.test_error, [27.604, 24.295], rtol=2e-5)


def test_at_the_threshold_a_tiny_ridge_is_right_or_not_converged():
    """test ~ lam^(-1/2): what double precision cannot resolve must not look like an answer."""
    lam = 10.0 ** -np.arange(10, 150, 2.0)
    for parameters in ({"noise_var": 0.1}, {"activation": "tanh", "alpha": 0.7, "beta": 0.7}):
        with pytest.warns(AccuracyWarning, match="did not converge"):
            prediction = features(**{"alpha": 1.0, **parameters}, lam=lam).solve()
        scaled = (prediction.test_error * np.sqrt(lam))[prediction.converged]
        assert scaled.size >= 4 and not prediction.converged[lam < 1e-24].any()
        np.testing.assert_allclose(scaled[1:], scaled[-1], rtol=2e-3)


def test_below_the_threshold_a_tiny_ridge_is_the_limit():
    error = features(activation="tanh", lam=[0.0, 1e-20, 1e-50, 1e-100]).solve().test_error
    np.testing.assert_allclose(error, error[0], rtol=1e-12)


def test_nothing_left_to_learn_at_the_edge_keeps_the_limit_finite():
    """relu/relu without noise: r^2 > c, but the error at the edge vanishes faster than the features."""
    problem = GiantStep(activation="relu", target="relu", alpha0=20, eta=5, alpha=0.5, lam=[0.0, 1e-20])
    prediction = problem.solve()
    assert prediction.spike_strength[0] ** 2 > prediction.bulk_variance[0]
    assert prediction.test_error[0] == pytest.approx(prediction.test_error[1], rel=1e-9)


def test_without_ridge_a_flat_activation_with_a_strong_spike_diverges():
    """relu with r^2 > c: the test error grows like lam^-(1 - c/r^2), so the limit is infinite although alpha < beta."""
    lam = np.array([1e-20, 1e-60])
    growth = np.diff(np.log(features(spike_strength=3.0, lam=lam).solve().test_error)) / np.diff(np.log(lam))
    assert growth[0] == pytest.approx(-(1 - 1 / 9), abs=0.01)
    with pytest.warns(AccuracyWarning, match="1 of 1 cells have no ridge and a test error that diverges"):
        prediction = features(spike_strength=3.0, lam=0.0).solve()
    assert prediction.converged and prediction.test_error == INF
    assert np.isfinite(features(spike_strength=0.9, lam=0.0).solve().test_error)


def test_a_limit_that_cannot_be_resolved_is_not_a_number():
    with pytest.warns(AccuracyWarning, match="1 of 2 cells did not converge"):
        prediction = features(activation="tanh", spike_strength=3.0, lam=[0.0, 1e-6]).solve()
    assert list(prediction.converged) == [False, True]
    assert np.isnan(prediction.test_error[0]) and np.isfinite(prediction.test_error[1])


def test_linear_activation_has_rank_min_p_d():
    for beta, alpha, threshold in ((2.0, 1.0, True), (2.0, 1.5, False), (0.5, 0.5, True), (0.5, 0.8, False)):
        problem = features(activation="linear", alpha=alpha, beta=beta, lam=0.0)
        if threshold:
            with pytest.warns(AccuracyWarning):
                assert problem.solve().test_error == INF
        else:
            assert problem.solve().test_error == pytest.approx(problem.replace(lam=1e-13).solve().test_error, rel=1e-9)


def test_even_activation_without_spike():
    """E mu1 = 0: V1 = c V2, nothing linear is learned; V2 is the root of one equation."""
    prediction = features(activation="he2", spike_strength=0.0, bulk_variance=1.7, alpha=[0.5, 2.0], lam=0.3).solve()
    assert prediction.converged.all()
    np.testing.assert_allclose(prediction.V1, 1.7 * prediction.V2, rtol=1e-13)
    np.testing.assert_array_equal(prediction.th, 0)
    np.testing.assert_array_equal(prediction.psi, 0)
    mu2_sq = 1.7**2
    v2 = prediction.V2
    np.testing.assert_allclose(
        np.array([0.5, 2.0]) * v2 * mu2_sq / (1 + mu2_sq * v2) + 0.3 * v2, 1.0, rtol=1e-13
    )
    np.testing.assert_allclose(prediction.q1, 1.7 * prediction.q2, rtol=1e-12)


@pytest.mark.parametrize("target", ["sin", "relu", "sign"])
def test_full_alignment_is_reached_continuously(target):
    alignment = [1 - 1e-5, 1 - 1e-8, 1 - 1e-12, 1.0, -1.0]
    prediction = features(target=target, alignment=alignment).solve()
    error = prediction.test_error
    assert prediction.converged.all()
    assert abs(error[1] - error[3]) < 1e-3 * abs(error[0] - error[3]) + 1e-5
    assert error[2] == pytest.approx(error[3], rel=1e-5)
    assert prediction.psi[3] == 0


def test_huge_spike_depends_on_the_ratio_only():
    """relu: (r, c, lam) = (463, 21082, .1) is (r/sqrt c, 1, lam/c)."""
    c = 21082.0
    prediction = features(
        spike_strength=[463.0, 463.0 / np.sqrt(c)], bulk_variance=[c, 1.0], lam=[0.1, 0.1 / c]
    ).solve()
    assert prediction.test_error[0] == pytest.approx(prediction.test_error[1], rel=1e-11)
    assert prediction.V2[1] == pytest.approx(c * prediction.V2[0], rel=1e-11)


def test_tiny_scales():
    small = features(activation="tanh", bulk_variance=[1e-6, 1e-9, 1e-12]).solve()
    assert small.converged.all()
    assert small.test_error[2] == pytest.approx(small.test_error[1], rel=1e-7)
    spikes = features(activation="tanh", spike_strength=[1e-3, 1e-5, 1e-7, 1e-9], alpha=1.5).solve()
    np.testing.assert_allclose(spikes.test_error[1:], spikes.test_error[3], rtol=1e-8)
    np.testing.assert_allclose(spikes.m[1:] * np.array([1e-5, 1e-7, 1e-9]), spikes.m[3] * 1e-9, rtol=1e-8)
    still = features(spike_strength=[0.0, 5e-324, -5e-324]).solve().test_error
    np.testing.assert_array_equal(still, still[0])


def test_huge_ridge_leaves_the_mean_direction_free():
    prediction = features(lam=[1e8, 1e15, 1e100]).solve()
    np.testing.assert_allclose(prediction.test_error, prediction.test_error[2], rtol=1e-7)
    total = prediction.problem.target.second_moment() + 0.1
    assert prediction.test_error[2] < total


@pytest.mark.parametrize("activation", ["tanh", "relu", "erf", "sin", "sign", "he3", "softplus"])
@pytest.mark.parametrize("target", ["sin", "relu", "sign", "he3"])
def test_halving_every_step_changes_nothing(activation, target):
    """Also at lam = 1e-8, below the threshold, where V is of order 1e8."""
    for strength, alignment in ((0.5, 0.8), (3.0, 0.999), (30.0, 0.8)):
        problem = features(
            activation=activation, target=target, spike_strength=strength, alignment=alignment,
            alpha=np.array([[0.1], [0.7], [1.5], [20.0]]), beta=1.2, lam=[1e-12, 1e-8, 1e-4, 1.0],
        )
        names = ("test_error", "train_error", "variance")
        coarse, fine = problem._predict(names, 1), problem._predict(names, 2)
        for name in names:
            limit = np.where(problem.lam == 1e-12, 2e-11, 1e-11)
            change = np.abs(getattr(coarse, name) / getattr(fine, name) - 1)
            assert np.all(change < limit), (name, change.max())
