"""The network of quadratic units from its definition, by means that share nothing with the production code.

`integrate` solves the 2p differential equations of gradient flow with DOP853.  `path` takes the common time tau as
given: weights by cosh and sinh of complex arguments, and t(tau) by quadrature, in the digits of mpmath.
"""

from __future__ import annotations

import mpmath
import numpy as np
from scipy.integrate import solve_ivp

DIGITS = 40


def integrate(u, w, A, times, gamma=1.0, eta_u=1.0, eta_w=1.0, m4=1.0, c=1.0, tolerance=1e-13):
    """Weights at these times by DOP853: arrays (times, p)."""
    u, w = np.asarray(u, dtype=float), np.asarray(w, dtype=float)
    p = u.size

    def velocity(_, state):
        force = c * gamma * m4 * (A - gamma * np.sum(state[:p] * state[p:] ** 2))
        return force * np.concatenate([eta_u * state[p:] ** 2, 2 * eta_w * state[:p] * state[p:]])

    with np.errstate(all="ignore"):
        found = solve_ivp(velocity, (0.0, float(np.max(times))), np.concatenate([u, w]), method="DOP853",
                          t_eval=np.asarray(times), rtol=tolerance, atol=1e-18)
    return found.y[:p].T, found.y[p:].T


def path(u, w, A, left, gamma=1.0, eta_u=1.0, eta_w=1.0, m4=1.0, c=1.0):
    """t, weights, F and r where the gap is about the part `left` of the initial one (of a target that is reached)."""
    with mpmath.workdps(DIGITS):
        u, w = [mpmath.mpf(float(x)) for x in u], [mpmath.mpf(float(x)) for x in w]
        gamma, eta_u, eta_w, A, c, m4 = (mpmath.mpf(float(x)) for x in (gamma, eta_u, eta_w, A, c, m4))

        def weights(tau):
            return [unit(*pair, tau, eta_u, eta_w) for pair in zip(u, w, strict=True)]

        def gap(tau):
            state = weights(tau)
            if any(psi <= 0 for *_, psi in state):
                return -r0  # beyond an explosion
            return A - gamma * mpmath.fsum(a * b * b for a, b, _ in state)

        r0 = A - gamma * mpmath.fsum(a * b * b for a, b in zip(u, w, strict=True))
        direction = mpmath.sign(gamma * r0)
        end = _bisect(lambda tau: gap(direction * tau) / r0)
        tau = direction * _bisect(lambda tau: gap(direction * tau) / r0 - mpmath.mpf(left))
        y = -mpmath.log(1 - abs(tau) / end)
        panels = [y * i / 12 for i in range(13)]
        t = mpmath.quad(lambda s: direction * end * mpmath.exp(-s)
                        / (c * m4 * gamma * gap(-direction * end * mpmath.expm1(-s))), panels)
        state = weights(tau)
        return {"t": t, "u": [a for a, *_ in state], "w": [b for _, b, _ in state], "F": A - gap(tau), "r": gap(tau)}


def unit(u, w, tau, eta_u, eta_w):
    """u, w and psi of one unit at tau: u = -psi'/(2 eta_w psi), w = w0/psi, psi'' = 2 eta_w I psi."""
    alpha = 2 * eta_w * u
    root = mpmath.sqrt(2 * eta_w * (2 * eta_w * u * u - eta_u * w * w))
    sine = tau if root == 0 else mpmath.re(mpmath.sinh(root * tau) / root)
    psi = mpmath.re(mpmath.cosh(root * tau)) - alpha * sine
    return u + eta_u * w * w * sine / psi, w / psi, psi


def _bisect(f):
    """The first zero of a decreasing function of tau > 0, found from below in steps that do not jump an explosion."""
    low, step = mpmath.mpf(0), mpmath.mpf(2) ** -40
    while f(low + step) > 0:
        low, step = low + step, step * mpmath.mpf("1.3")
    high = low + step
    while high - low > mpmath.mpf(10) ** (8 - DIGITS) * high:
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return low
