"""The two-layer linear network from its definition, by means that share nothing with the production code.

`exact` follows the 2p weights with mpmath in as many digits as needed: p_i(t) = p_i e^s, q_i(t) = q_i e^-s, and
z = e^2s from the closed form of its Riccati equation; every observable is then computed from the weights.  `integrate`
solves the 2p differential equations of gradient flow with DOP853, `riccati` the one for z with a Taylor series in
mpmath, and `hessian` differentiates the loss.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
from scipy.integrate import solve_ivp

DIGITS = 50
UNDERFLOWN = 3000  # Lam t beyond which the gap is not resolved: it is below 10^-1300


def exact(u, w, A, t, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """F, r, ntk, cosine, norms, weights and the final rate at one time, as mpmath numbers.

    Numbers are taken as the exact values of the floats.
    """
    spread = _spread([*u, *w, gamma, eta_u, eta_w, m2, A, c, t])
    with mpmath.workdps(DIGITS + spread):
        k = mpmath.mpf(c) * mpmath.mpf(m2)
        exponent = float(min(k * _final_kernel(u, w, A, gamma, eta_u, eta_w) * t, UNDERFLOWN))
    with mpmath.workdps(DIGITS + spread + int(exponent)):
        p, q, kap, _ = _invariants(u, w, gamma, eta_u, eta_w)
        bP, bQ, k, A_ = _dot(p, p), _dot(q, q), mpmath.mpf(c) * mpmath.mpf(m2), mpmath.mpf(A)
        Th = _final_kernel(u, w, A, gamma, eta_u, eta_w)
        x = k * Th * mpmath.mpf(t)
        values = _state(u, w, gamma, eta_u, eta_w, A_, k, mpmath.mpf(t), p, q, bP, bQ, kap, Th, x)
        values["rate"], values["Th_inf"] = k * Th, Th
        return {name: [+v for v in value] if isinstance(value, list) else +value for name, value in values.items()}


def _state(u, w, gamma, eta_u, eta_w, A, k, t, p, q, bP, bQ, kap, Th, x):
    mp = mpmath.mpf
    u, w, gamma, eta_u, eta_w = [mp(a) for a in u], [mp(a) for a in w], mp(gamma), mp(eta_u), mp(eta_w)
    if kap == 0:
        r0 = A - gamma * _dot(u, w)
        moved = t if Th == 0 else (1 - mpmath.exp(-x)) / (k * Th)
        push = k * gamma * r0 * moved
        u_t = [a + eta_u * push * b for a, b in zip(u, w, strict=True)]
        w_t = [b + eta_w * push * a for a, b in zip(u, w, strict=True)]
    else:
        e = mpmath.exp(-x)
        if Th == 0:
            N, M = 2 + bQ * k * t, 2 + bP * k * t
        else:
            N = (Th + kap * A) + (Th - kap * A) * e + bQ * (1 - e)
            M = (Th - kap * A) + (Th + kap * A) * e + bP * (1 - e)
        grow = mpmath.sqrt(N / M)
        plus, minus = [a * grow for a in p], [a / grow for a in q]
        scale = abs(gamma)
        u_t = [(a + b) / (2 * scale * mpmath.sqrt(eta_w)) for a, b in zip(plus, minus, strict=True)]
        sign = 1 if gamma > 0 else -1
        w_t = [sign * (a - b) / (2 * scale * mpmath.sqrt(eta_u)) for a, b in zip(plus, minus, strict=True)]
    F, uu, ww = gamma * _dot(u_t, w_t), _dot(u_t, u_t), _dot(w_t, w_t)
    cosine = mpmath.nan if uu == 0 or ww == 0 else _dot(u_t, w_t) / mpmath.sqrt(uu * ww)
    return {
        "F": F, "r": A - F, "F0": gamma * _dot(u, w), "ntk": gamma**2 * (eta_u * ww + eta_w * uu), "cosine": cosine,
        "norm_u": mpmath.sqrt(uu), "norm_w": mpmath.sqrt(ww), "u": u_t, "w": w_t,
    }


def _final_kernel(u, w, A, gamma, eta_u, eta_w):
    """Th_inf."""
    _, _, kap, Gam = _invariants(u, w, gamma, eta_u, eta_w)
    drive = kap * mpmath.mpf(A)
    return abs(drive) if Gam == 0 else mpmath.sqrt(drive**2 + Gam**2)


def _invariants(u, w, gamma, eta_u, eta_w):
    """gamma (sqrt(eta_w) u +- sqrt(eta_u) w), kap and Gam; w flipped for gamma < 0."""
    mp = mpmath.mpf
    scale, sign = abs(mp(gamma)), 1 if gamma > 0 else -1
    a, b = scale * mpmath.sqrt(mp(eta_w)), scale * sign * mpmath.sqrt(mp(eta_u))
    p = [a * mp(x) + b * mp(y) for x, y in zip(u, w, strict=True)]
    q = [a * mp(x) - b * mp(y) for x, y in zip(u, w, strict=True)]
    tiny = mpmath.mpf(10) ** (-mpmath.mp.dps // 2)
    # proportional to weights that are equal in exact arithmetic: the roots of the rates were rounded
    p, q = ([mp(0) if abs(x) <= tiny * abs(y) else x for x, y in zip(own, other, strict=True)]
            for own, other in ((p, q), (q, p)))
    return p, q, 2 * scale * mpmath.sqrt(mp(eta_u)) * mpmath.sqrt(mp(eta_w)), mpmath.sqrt(_dot(p, p) * _dot(q, q))


def _dot(x, y):
    return mpmath.fsum(a * b for a, b in zip(x, y, strict=True))


def _spread(numbers):
    """Digits that sums of products of these numbers may need."""
    logs = [abs(math.log10(abs(x))) for x in numbers if x]
    return 18 * int(max(logs, default=0)) + 120


def decades(u, w, A, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """log10 of what float64 has to hold: bP, bQ, kap|A| (those that are not zero), and c m2 Th_inf."""
    with mpmath.workdps(DIGITS):
        p, q, kap, Gam = _invariants(u, w, gamma, eta_u, eta_w)
        drive = kap * abs(mpmath.mpf(A))
        kernel = [float(mpmath.log10(x)) for x in (_dot(p, p), _dot(q, q), drive) if x]
        rate = mpmath.mpf(c) * mpmath.mpf(m2) * mpmath.sqrt(drive**2 + Gam**2)
        return kernel, float(mpmath.log10(rate)) if rate else 0.0


def riccati(bP, bQ, kap, A, k, t, digits=30):
    """z at time t from dz/dt = k (kap A z - bP z^2/2 + bQ/2), z(0) = 1, by Taylor series."""
    with mpmath.workdps(digits):
        solution = mpmath.odefun(lambda _, z: k * (kap * A * z - bP * z * z / 2 + mpmath.mpf(bQ) / 2), 0, 1)
        return solution(t)


def integrate(u, w, A, times, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0, tolerance=1e-12):
    """Weights at these times by DOP853: arrays (times, p)."""
    u, w = np.asarray(u, dtype=float), np.asarray(w, dtype=float)
    p = u.size

    def velocity(_, state):
        force = c * gamma * m2 * (A - gamma * (state[:p] @ state[p:]))
        return force * np.concatenate([eta_u * state[p:], eta_w * state[:p]])

    with np.errstate(all="ignore"):
        found = solve_ivp(
            velocity, (0.0, float(np.max(times))), np.concatenate([u, w]), method="DOP853", t_eval=np.asarray(times),
            rtol=tolerance, atol=1e-15,
        )
    return found.y[:p].T, found.y[p:].T


def hessian(u, w, A, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """Eigenvalues, ascending, of the Hessian of the loss in the coordinates u/sqrt(eta_u), w/sqrt(eta_w)."""
    u, w = np.asarray(u, dtype=float), np.asarray(w, dtype=float)
    p = u.size
    r = A - gamma * (u @ w)
    slope = gamma * np.concatenate([w, u])
    matrix = c * m2 * np.outer(slope, slope)
    matrix[:p, p:] -= c * m2 * r * gamma * np.eye(p)
    matrix[p:, :p] -= c * m2 * r * gamma * np.eye(p)
    scale = np.sqrt(np.repeat([eta_u, eta_w], p))
    return np.linalg.eigvalsh(scale[:, None] * matrix * scale)


def descent(u, w, A, steps, size, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """Weights after so many steps of gradient descent of this size."""
    u, w = np.array(u, dtype=float), np.array(w, dtype=float)
    for _ in range(steps):
        force = size * c * gamma * m2 * (A - gamma * (u @ w))
        u, w = u + eta_u * force * w, w + eta_w * force * u
    return u, w


def time_at(u, w, A, left, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """The time at which the gap is the part `left` of the initial one, as a mpmath number; both rates positive."""
    spread = _spread([*u, *w, gamma, eta_u, eta_w, m2, A, c, left])
    with mpmath.workdps(DIGITS + spread):
        p, q, kap, _ = _invariants(u, w, gamma, eta_u, eta_w)
        bP, bQ, A, k = _dot(p, p), _dot(q, q), mpmath.mpf(A), mpmath.mpf(c) * mpmath.mpf(m2)
        F0 = (bP - bQ) / (2 * kap)
        F = A - mpmath.mpf(left) * (A - F0)
        S = mpmath.sqrt((kap * F) ** 2 + bP * bQ)
        z = (S + kap * F) / bP if bP else bQ / (S - kap * F)
        Th = abs(kap * A) if bP * bQ == 0 else mpmath.sqrt((kap * A) ** 2 + bP * bQ)
        if Th == 0:
            return 2 * (z - 1) / (k * (bQ - z * bP))
        part = Th * (z - 1) / ((kap * A + bQ) - z * (bP - kap * A))
        return +(2 * mpmath.atanh(part) / (k * Th))


def descend_exactly(u, w, A, steps, size, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0, batches=None, digits=60):
    """Observables of the 2p weights after these numbers of steps of gradient descent, as mpmath numbers.

    `steps` is an increasing list; `batches` are pairs (mean x^2, mean xy), one for each step.
    """
    with mpmath.workdps(digits + _spread([*u, *w, gamma, eta_u, eta_w, m2, A, c, size])):
        u, w = [mpmath.mpf(x) for x in u], [mpmath.mpf(x) for x in w]
        gamma, eta_u, eta_w, m2, A, c, size = (mpmath.mpf(x) for x in (gamma, eta_u, eta_w, m2, A, c, size))
        made, found = 0, []
        for target in steps:
            while made < target:
                m2_n, mxy_n = (m2, m2 * A) if batches is None else map(mpmath.mpf, batches[made])
                force = size * c * gamma * (mxy_n - m2_n * gamma * _dot(u, w))
                u, w = ([a + eta_u * force * b for a, b in zip(u, w, strict=True)],
                        [b + eta_w * force * a for a, b in zip(u, w, strict=True)])
                made += 1
            F, uu, ww = gamma * _dot(u, w), _dot(u, u), _dot(w, w)
            ntk = gamma**2 * (eta_u * ww + eta_w * uu)
            sharpness = c * m2 * (ntk + mpmath.sqrt(ntk**2 - 4 * gamma**2 * eta_u * eta_w * (A - F) * (3 * F - A))) / 2
            found.append({
                "coefficient": F, "gap": A - F, "ntk": ntk, "norm_u": mpmath.sqrt(uu), "norm_w": mpmath.sqrt(ww),
                "cosine": mpmath.nan if uu == 0 or ww == 0 else _dot(u, w) / mpmath.sqrt(uu * ww),
                "standard_ntk": gamma**2 * (uu + ww), "excess_loss": c * m2 * (A - F) ** 2 / 2,
                "sharpness": sharpness, "stability": size * c * m2 * ntk,
            })
        return found
