"""The step at any size: resolvent functions of readout and kappa, and the errors of the ridge readout; section 9."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...gaussian.hermite import hermite_functions
from ...gaussian.quadrature import normal_density
from ...solvers import minimise_convex
from .full_tables import Tables
from .step import Readouts

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Resolvent(NamedTuple):
    """Minimisers of the potential for C cells, and its derivatives there, in units of the roots of the weights; (30).

    With u = sqrt(w) a the function Psi(u) of both variables has the Hessian `hessian`.

    Attributes
    ----------
    neuron, sample : ndarray (C, I), (C, J)
        The resolvents Gz(z) and e(kappa).
    hessian : ndarray (C, I + J, I + J)
    residual : ndarray (C,)
        Largest component of the gradient per weight.
    converged : ndarray of bool (C,)
    """

    neuron: Array
    sample: Array
    hessian: Array
    residual: Array
    converged: NDArray[np.bool_]


def potential(tables: Tables, readouts: Readouts, point: Array) -> tuple[Array, Array]:
    """Gradient (C, I + J) and Hessian of the convex potential at (log Gz, log e), per root of the weights; eq. (30)."""
    step = readouts.step
    neurons = tables.z_weight.shape[1]
    beta, load = readouts.p / readouts.d, readouts.n / readouts.p
    root_w, root_k = np.sqrt(tables.z_weight[step]), np.sqrt(tables.kappa_weight[step])
    neuron, sample = np.exp(point[:, :neurons]), np.exp(point[:, neurons:])
    left, right = root_w * np.sqrt(neuron), root_k * np.sqrt(sample)

    own = (left**2)[:, :, None] * tables.noise[step] * (right**2)[:, None, :]
    T = np.sqrt(beta)[:, None, None, None] * left[:, None, :, None] * tables.slope[step] * right[:, None, None, :]
    transposed = np.swapaxes(T, -1, -2)
    inner = T @ transposed
    diagonal = np.arange(neurons)
    inner[..., diagonal, diagonal] += 1
    Y = np.linalg.solve(inner, T)
    P, Q = Y @ transposed, transposed @ Y
    traces = np.einsum("csii->ci", P), np.einsum("csjj->cj", Q)
    by_neuron = own.sum(axis=2) + traces[0] / beta[:, None]
    by_sample = own.sum(axis=1) + traces[1] / beta[:, None]
    penalty = root_k**2 * readouts.lam[:, None] * sample

    gradient = np.concatenate([
        (root_w**2 * (neuron - 1) + by_neuron) / root_w,
        (penalty - root_k**2 * load[:, None] + by_sample) / root_k,
    ], axis=1)
    hessian = np.empty((len(point), gradient.shape[1], gradient.shape[1]))
    per_beta = 1 / beta[:, None, None]
    hessian[:, :neurons, :neurons] = -per_beta * np.sum(P * P, axis=1)
    hessian[:, neurons:, neurons:] = -per_beta * np.sum(Q * Q, axis=1)
    hessian[:, :neurons, neurons:] = own + per_beta * np.sum(Y * Y, axis=1)
    hessian[:, neurons:, :neurons] = np.swapaxes(hessian[:, :neurons, neurons:], 1, 2)
    diagonal = np.arange(gradient.shape[1])
    hessian[:, diagonal, diagonal] += np.concatenate([root_w**2 * neuron + by_neuron, penalty + by_sample], axis=1)
    inverse_root = 1 / np.concatenate([root_w, root_k], axis=1)
    hessian *= inverse_root[:, :, None] * inverse_root[:, None]
    return gradient, hessian


def solve_potential(tables: Tables, readouts: Readouts, start: Array) -> Resolvent:
    """The unique minimisers, from starting points (C, I + J)."""
    neurons = tables.z_weight.shape[1]
    root = np.sqrt(np.concatenate([tables.z_weight, tables.kappa_weight], axis=1))[readouts.step]

    def evaluate(point: Array, index: Index) -> tuple[Array, Array]:
        gradient, hessian = potential(tables, readouts.at(index), point)
        step = -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        return gradient * root[index], step / root[index]

    found = minimise_convex(evaluate, start)
    gradient, hessian = potential(tables, readouts, found.point)
    excess = np.abs(gradient) / root
    load = readouts.n / readouts.p
    residual = np.maximum(np.max(excess[:, :neurons], axis=1), np.max(excess[:, neurons:], axis=1) / load)
    return Resolvent(
        np.exp(found.point[:, :neurons]), np.exp(found.point[:, neurons:]), hessian, residual, found.converged
    )


def observables(
    tables: Tables, readouts: Readouts, resolvent: Resolvent, degrees: int, intercept: bool = False, radial: bool = True
) -> dict[str, Array]:
    """Errors and overlaps of C cells; eqs. (31)-(37).

    `radial` keeps the direction |x|^2 of Gaussian inputs, which all even spikes share; without it |x| is fixed.
    """
    step, lam = readouts.step, readouts.lam
    beta, load = readouts.p / readouts.d, readouts.n / readouts.p
    neuron, sample = resolvent.neuron, resolvent.sample
    z_weight, weight = tables.z_weight[step], tables.kappa_weight[step]
    power = weight * sample  # S
    root = np.sqrt(power)[:, None, :]
    left = np.sqrt(z_weight * neuron)[:, None, :, None]
    half, nodes = z_weight.shape[1], weight.shape[1]

    # rows of the features, Phi with K = Phi^T Phi: the mean with its radial part, and the slope along the spike
    scale = np.sqrt(readouts.p)[:, None, None, None] * left
    slope_scale = np.sqrt(beta)[:, None, None, None] * left
    mean, tilted = scale * tables.mean[step], slope_scale * tables.tilted[step]
    slope = slope_scale * tables.slope[step]
    rows = np.concatenate([mean, tilted], axis=2) * root[:, :, None, :]
    if radial:
        curved = np.sqrt(2 * beta)[:, None, None, None] * left * tables.curvature[step] * root[:, :, None, :]
        rows = np.concatenate([rows, np.concatenate([curved, np.zeros_like(curved)], axis=2)], axis=3)
    label = root * tables.target_mean[step]
    right = np.concatenate([label, np.zeros_like(label)], axis=2) if radial else label
    constant = None
    if intercept:
        constant = np.zeros_like(right)
        constant[:, 0, :nodes] = root[:, 0]
    x = _ridge(rows, right, constant)
    slope_rows = slope * root[:, :, None, :]
    along = root * tables.target_slope[step]
    xa = _ridge(slope_rows, along)
    rest = tables.unlearnable[step] + readouts.noise_var[:, None]
    objective = np.sum(label * x[..., :nodes], axis=(1, 2)) + np.sum(along * xa, axis=(1, 2)) + np.sum(
        power * rest, axis=1)

    # derivatives of the objective in log Gz and log e
    read = np.einsum("csij,csj->csi", rows, x) ** 2
    by_neuron = -np.sum(read[..., :half] + read[..., half:] + np.einsum("csij,csj->csi", slope_rows, xa) ** 2, axis=1)
    squares = x[..., :nodes] ** 2 + xa**2
    if radial:
        squares = squares + x[..., nodes:] ** 2
    by_sample = np.sum(squares, axis=1) + power * rest
    root_weight = np.sqrt(np.concatenate([z_weight, weight], axis=1))
    change = np.concatenate([by_neuron, by_sample], axis=1) / root_weight
    response = np.linalg.solve(resolvent.hessian, change[:, :, None])[:, half:, 0] * np.sqrt(weight)

    test = load * np.sum(response / sample, axis=1)
    answer = {
        "test_error": test,
        "generalization_error": test - readouts.noise_var,
        "ridge_objective": lam / load * objective,
        "train_error": lam**2 / load * np.sum(response * sample, axis=1),
    }
    inverse = 1 / root
    predicted = tables.target_mean[step] - x[..., :nodes] * inverse
    predicted_slope = tables.target_slope[step] - xa * inverse
    answer["overlaps"] = _overlaps(tables, step, predicted, predicted_slope, degrees)
    return answer


def _ridge(rows: Array, right: Array, free: Array | None = None) -> Array:
    """Solutions of (1 + rows^T rows) x = right, of sector 0 after the multiple of `free` that fits best; eq. (37)."""
    gram = np.swapaxes(rows, -1, -2) @ rows
    diagonal = np.arange(gram.shape[-1])
    gram[..., diagonal, diagonal] += 1
    columns = right[..., None] if free is None else np.stack([right, free], axis=-1)
    x: Array = np.linalg.solve(gram, columns).astype(np.float64, copy=False)
    if free is None:
        return x[..., 0]
    fitted, own = np.einsum("csj,csjk->kc", free, x)
    return x[..., 0] - (fitted / own)[:, None, None] * x[..., 1]


def _overlaps(tables: Tables, step: Index, predicted: Array, slope: Array, degrees: int) -> Array:
    """E[f h_k(<theta, x>)], (C, degrees); eq. (36)."""
    kappa, rho = tables.kappa, tables.alignment[step]
    # hermite_functions carry the root of the density
    h = hermite_functions(kappa.ravel(), degrees - 1).reshape(-1, *kappa.shape) / np.sqrt(normal_density(kappa))
    columns = (tables.kappa_weight * h)[:, step]
    rest = np.sqrt(np.maximum(1 - rho**2, 0.0))
    overlaps = np.empty((step.size, degrees))
    for k in range(degrees):
        even, odd = k % tables.sectors, (k - 1) % tables.sectors
        value = rho**k * np.sum(predicted[:, even] * columns[k], axis=1)
        if k:
            lower = np.sum(slope[:, odd] * columns[k - 1], axis=1)
            value = value + np.sqrt(k) * rest * rho ** (k - 1) * lower
        overlaps[:, k] = value
    return overlaps
