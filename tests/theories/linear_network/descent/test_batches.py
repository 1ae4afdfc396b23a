"""Minibatches and label noise: the map with given moments against actual weights on actual samples."""

import numpy as np
import pytest

from asymptotics import LinearNetworkDescent, ParameterError, grid

from .problems import case, wide

U, W = np.random.default_rng(5).normal(size=(2, 6)) / np.sqrt(6)


def data(n=40, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, 0.8 * x + noise * rng.normal(size=n)


def train(x, y, batches, h, gamma=1.0, eta_u=1.0, eta_w=1.0, c=1.0):
    """Weights after every step, from gradients of every sample."""
    u, w = U.copy(), W.copy()
    for batch in batches:
        f = gamma * np.outer(x[batch], u * w).sum(axis=1)
        slope = c * np.mean((f - y[batch]) * x[batch])
        u, w = u - h * eta_u * slope * gamma * w, w - h * eta_w * slope * gamma * u
        yield u, w


@pytest.mark.parametrize("rates", [{}, dict(gamma=-1.4, eta_u=0.3, eta_w=2.0), dict(eta_w=0.0)])
def test_minibatches_step_by_step(rates):
    x, y = data()
    rng = np.random.default_rng(1)
    batches = [rng.choice(40, size=rng.integers(1, 9)) for _ in range(600)]
    problem = LinearNetworkDescent.from_batches(
        x, y, batches, u=U, w=W, step_size=0.05, loss_factor=2.0, **rates).replace(steps=np.arange(1, 601))
    solution = problem.solve()
    gamma, c = rates.get("gamma", 1.0), 2.0
    for place, (u, w) in enumerate(train(x, y, batches, 0.05, c=c, **rates)):
        F = gamma * (u @ w)
        expected = {
            "coefficient": F, "norm_u": np.linalg.norm(u), "norm_w": np.linalg.norm(w),
            "cosine": u @ w / np.linalg.norm(u) / np.linalg.norm(w), "loss": 0.5 * c * np.mean((F * x - y) ** 2),
            "ntk": gamma**2 * (rates.get("eta_u", 1.0) * (w @ w) + rates.get("eta_w", 1.0) * (u @ u)),
        }
        for name, value in expected.items():
            assert solution.values[name][place] == pytest.approx(value, rel=2e-12, abs=2e-12), (name, place)


def test_label_noise_step_by_step():
    """Fresh noise of the labels of a full batch: moments given directly."""
    x, _ = data()
    rng = np.random.default_rng(2)
    m2 = np.mean(x * x)
    labels = [0.8 * x + 0.5 * rng.normal(size=40) for _ in range(3000)]
    problem = LinearNetworkDescent(
        u=U, w=W, m2=m2, target_coefficient=0.8, step_size=0.2, steps=3000,
        batch_m2=np.full(3000, m2), batch_mxy=[np.mean(x * y) for y in labels])
    u, w = U.copy(), W.copy()
    for y in labels:
        slope = np.mean((u @ w * x - y) * x)
        u, w = u - 0.2 * slope * w, w - 0.2 * slope * u
    solution = problem.solve()
    assert solution.ntk == pytest.approx(u @ u + w @ w, rel=1e-12)
    assert solution.coefficient == pytest.approx(u @ w, abs=1e-12)


def test_batches_of_the_full_sample_are_full_batch():
    x, y = data()
    full = LinearNetworkDescent.from_samples(x, y, u=U, w=W, step_size=0.4, steps=[0, 3, 100])
    batches = LinearNetworkDescent.from_batches(x, y, [np.arange(40)] * 100, u=U, w=W, step_size=0.4,
                                                steps=[0, 3, 100])
    for name, values in full.solve().values.items():
        assert batches.solve().values[name] == pytest.approx(values, rel=1e-12, abs=1e-14), name


def test_sizes_of_batches_and_seeds():
    x, y = data()
    given = dict(u=U, w=W, step_size=0.1)
    problem = LinearNetworkDescent.from_samples(x, y, batch_size=7, steps=[1, 23], seed=3, **given)
    assert len(problem.batch_m2) == 23
    assert problem == LinearNetworkDescent.from_samples(x, y, batch_size=7, steps=[1, 23], seed=3, **given)
    assert problem != LinearNetworkDescent.from_samples(x, y, batch_size=7, steps=[1, 23], seed=4, **given)
    epoch = LinearNetworkDescent.from_samples(x, y, batch_size=8, steps=5, **given)
    assert np.mean(epoch.batch_m2) == pytest.approx(epoch.m2, rel=1e-14)  # each sample once
    assert LinearNetworkDescent.from_samples(x, y, steps=5, **given).batch_m2 is None
    assert LinearNetworkDescent.from_batches(x, y, [[0, 1], [2]], **given).steps == 2
    cells = LinearNetworkDescent.from_samples(
        x, y, batch_size=8, u=U, w=W, **grid(step_size=[0.1, 0.2], steps=[0, 10]))
    assert cells.solve().to_dataset().loss.dims == ("steps", "step_size")


@pytest.mark.parametrize(("changes", "name"), [
    (dict(batches=[]), "batches"), (dict(batches=[[0], []]), "batches"), (dict(batches=[[40]]), "batches"),
    (dict(batches=[[-1]]), "batches"), (dict(batches=[[0.5]]), "batches"), (dict(batches=[0, 1]), "batches"),
    (dict(batches=[[[0], [1, 2]]]), "batches"), (dict(y=[1.0]), "y"), (dict(x=["a"] * 40), "x"),
    (dict(steps=3), "steps"),
])
def test_bad_batches(changes, name):
    x, y = data()
    with pytest.raises(ParameterError) as caught:
        LinearNetworkDescent.from_batches(**{"x": x, "y": y, "batches": [[0, 1]], "u": U, "w": W, "step_size": 0.1,
                                             **changes})
    assert caught.value.name == name


@pytest.mark.parametrize(("changes", "name"), [
    (dict(batch_size=0), "batch_size"), (dict(batch_size=41), "batch_size"), (dict(batch_size=2.0), "batch_size"),
    (dict(batch_size=True), "batch_size"), (dict(steps=-1), "steps"), (dict(steps=None), "steps"),
])
def test_bad_samples(changes, name):
    x, y = data()
    with pytest.raises(ParameterError) as caught:
        LinearNetworkDescent.from_samples(x, y, **{"batch_size": 4, "steps": 3, "u": U, "w": W, "step_size": 0.1,
                                                   **changes})
    assert caught.value.name == name
    with pytest.raises(ParameterError, match="steps"):
        LinearNetworkDescent.from_samples(x, y, batch_size=4, u=U, w=W, step_size=0.1)


# ---- label noise


def test_drift_of_the_map():
    """The map with Gaussian label noise at its minimum: the drift of ln(Gam^2) with and without corrections."""
    B, noise_var, h, steps = 4, 0.25, 0.02, 4000
    base, _ = wide(50, target_coefficient=1.0, irreducible_loss=noise_var, step_size=h, steps=10**6)
    uu, ww, F = (float(base.solve().values[name]) for name in ("norm_u", "norm_w", "coefficient"))
    start = LinearNetworkDescent.from_overlaps(
        uu=uu**2, ww=ww**2, uw=F / base.gamma, gamma=base.gamma, target_coefficient=1.0, irreducible_loss=noise_var,
        step_size=h, steps=0)
    drift = start.label_noise_drift(B)
    expected = -2 * h * base.gamma**2 * noise_var / B
    assert drift.rate == pytest.approx(expected, rel=1e-13)
    stability = float(start.solve().stability)
    assert drift.corrected_rate == pytest.approx(expected / (1 - stability / 2), rel=1e-12)
    assert drift.time_scale == pytest.approx(-1 / expected) and drift.flattest_cosine == 1
    assert drift.flattest_ntk == pytest.approx(2 * base.gamma)
    rng, slopes = np.random.default_rng(0), []
    before = float(start.solve().ntk)
    for _ in range(60):
        labels = 1.0 + np.sqrt(noise_var / B) * rng.normal(size=steps)
        run = start.replace(steps=steps, batch_m2=np.ones(steps), batch_mxy=labels).solve(["ntk", "coefficient"])
        gamma2 = [ntk**2 - (2 * base.gamma * F_) ** 2 for ntk, F_ in ((run.ntk, run.coefficient), (before, F))]
        slopes.append(np.log(gamma2[0] / gamma2[1]) / (h * steps))
    mean, error = np.mean(slopes), np.std(slopes, ddof=1) / np.sqrt(60)
    assert abs(mean - float(drift.corrected_rate)) < 4 * error
    assert error < 0.004 * abs(expected) and abs(mean - expected) > 4 * error  # the correction is seen


def test_drift_of_grids_and_degenerate_cells():
    problem = case("A", irreducible_loss=0.1).replace(**grid(step_size=[0.0, 0.1, 5.0], gamma=[1.0, -2.0]))
    drift = problem.label_noise_drift(np.int64(2))
    assert drift.rate.dims == ("step_size", "gamma") and drift.attrs["theory"] == problem.slug
    assert drift.rate.values[0].tolist() == [0, 0] and np.isinf(drift.time_scale.values[0]).all()
    assert drift.rate.values[1, 1] == pytest.approx(4 * drift.rate.values[1, 0], rel=1e-13)
    assert np.isnan(drift.corrected_rate.values[2]).all()
    assert drift.flattest_cosine.values[0].tolist() == [1, -1]
    unreachable = case("A", w=(0.5, -0.2, 0.1), target_coefficient=-1.0, irreducible_loss=0.1).label_noise_drift(1)
    assert np.isnan(unreachable.rate)
    for bad in (0, 2.5, True, "1"):
        with pytest.raises(ParameterError, match="batch_size"):
            problem.label_noise_drift(bad)
