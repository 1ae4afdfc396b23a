"""Weight decay, and one target after another, by means that share nothing with the production code.

`decayed` follows the 2p weights: p_i(t) = p_i e^(s - mu t), q_i(t) = q_i e^(-s - mu t), e^2s = N/M, where (N, M)
solves a linear system that is integrated by Taylor steps in mpmath; `bessel` is the same from Bessel functions.
`integrate` solves the 2p differential equations with DOP853.  `curriculum` applies `linear_network.exact` to one target
after another, each time from the weights that the last one left.
"""

from __future__ import annotations

import mpmath
import numpy as np
from scipy.integrate import solve_ivp

from .linear_network import _dot, _invariants, _spread, exact

DIGITS = 40


def decayed(u, w, A, t, mu, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0):
    """F, F0, r, ntk, cosine, norms and weights at one time, as mpmath numbers."""
    with mpmath.workdps(DIGITS + _spread([*u, *w, gamma, eta_u, eta_w])):
        p, q, kap, _ = _invariants(u, w, gamma, eta_u, eta_w)
        u, w, gamma, eta_u, eta_w, A, t, mu = (
            [mpmath.mpf(y) for y in x] if isinstance(x, (list, tuple, np.ndarray)) else mpmath.mpf(x)
            for x in (u, w, gamma, eta_u, eta_w, A, t, mu)
        )
        k = mpmath.mpf(c) * mpmath.mpf(m2)
        fading = mpmath.exp(-mu * t)
        if kap == 0:
            push = _push(u, w, gamma, eta_u, eta_w, A, k, mu, t)
            u_t = [fading * (a + eta_u * push * b) for a, b in zip(u, w, strict=True)]
            w_t = [fading * (b + eta_w * push * a) for a, b in zip(u, w, strict=True)]
        else:
            bP, bQ, scale = _dot(p, p), _dot(q, q), kap * (abs(A) + abs(gamma * _dot(u, w)))
            lost = max(0, int(mpmath.log10((bP + bQ) / scale))) if scale and bP + bQ else 0
            grow = mpmath.sqrt(ratio(bP, bQ, kap * A, mu / k, k * t, DIGITS + lost))
            plus, minus = [fading * a * grow for a in p], [fading * b / grow for b in q]
            scale, sign = abs(gamma), 1 if gamma > 0 else -1
            u_t = [(a + b) / (2 * scale * mpmath.sqrt(eta_w)) for a, b in zip(plus, minus, strict=True)]
            w_t = [sign * (a - b) / (2 * scale * mpmath.sqrt(eta_u)) for a, b in zip(plus, minus, strict=True)]
        F, uu, ww = gamma * _dot(u_t, w_t), _dot(u_t, u_t), _dot(w_t, w_t)
        cosine = mpmath.nan if uu == 0 or ww == 0 else _dot(u_t, w_t) / mpmath.sqrt(uu * ww)
        return {
            "F": F, "F0": gamma * _dot(u, w), "r": A - F, "ntk": gamma**2 * (eta_u * ww + eta_w * uu),
            "cosine": cosine, "norm_u": mpmath.sqrt(uu), "norm_w": mpmath.sqrt(ww), "u": u_t, "w": w_t,
        }


def ratio(bP, bQ, drive, m, tau, digits=DIGITS):
    """N/M: N' = (drive/2) N + (bQ q/2) M, M' = (bP q/2) N - (drive/2) M, q = e^(-2 m tau), N(0) = M(0) = 1."""
    with mpmath.workdps(digits + 20):
        bP, bQ, half, m, tau = (mpmath.mpf(x) for x in (bP, bQ, drive / 2, m, tau))
        root, N, M, done = mpmath.sqrt(bP * bQ), mpmath.mpf(1), mpmath.mpf(1), mpmath.mpf(0)
        while done < tau:
            fading = mpmath.exp(-2 * m * done)
            h = 1 / (2 * abs(half) + root * fading + 2 * m + mpmath.mpf(10) ** -30)
            h = min(h, tau - done)
            N, M = _step(N, M, half, bP * fading / 2, bQ * fading / 2, m, h, digits)
            size = mpmath.sqrt(N * M)
            N, M, done = N / size, M / size, done + h
        return N / M


def _step(N, M, half, up, down, m, h, digits):
    """One Taylor series, until its terms vanish."""
    Ns, Ms, powers = [N], [M], [mpmath.mpf(1)]
    small = mpmath.mpf(10) ** -(digits + 5)
    for n in range(400):
        if len(powers) <= n and abs(powers[-1]) > small * small:
            powers.append(powers[-1] * (-2 * m * h) / n)
        reach = range(max(0, n - len(powers) + 1), n + 1)
        toward = mpmath.fsum(powers[n - j] * Ms[j] for j in reach)
        away = mpmath.fsum(powers[n - j] * Ns[j] for j in reach)
        Ns.append(h * (half * Ns[n] + down * toward) / (n + 1))
        Ms.append(h * (up * away - half * Ms[n]) / (n + 1))
        N, M = N + Ns[-1], M + Ms[-1]
        if n > 6 and all(abs(a) < small * abs(b) for a, b in ((Ns[-1], N), (Ms[-1], M), (Ns[-2], N), (Ms[-2], M))):
            return N, M
    raise ArithmeticError("the Taylor series does not end")


def bessel(bP, bQ, drive, m, tau, digits=60):
    """(F kap, ntk) in the units of bP and bQ from modified Bessel functions; both positive."""
    with mpmath.workdps(digits):
        bP, bQ, drive, m, tau = map(mpmath.mpf, (bP, bQ, drive, m, tau))
        above, below = drive / (4 * m) + mpmath.mpf(1) / 2, drive / (4 * m) - mpmath.mpf(1) / 2
        X0, fading = mpmath.sqrt(bP * bQ) / (4 * m), mpmath.exp(-2 * m * tau)
        X = X0 * fading
        n, d = 1 / mpmath.sqrt(bQ), 1 / mpmath.sqrt(bP)
        grow = n * mpmath.besseli(below, X0) + d * mpmath.besseli(above, X0)
        fall = n * mpmath.besselk(below, X0) - d * mpmath.besselk(above, X0)
        N = grow * mpmath.besselk(above, X) + fall * mpmath.besseli(above, X)
        M = grow * mpmath.besselk(below, X) - fall * mpmath.besseli(below, X)
        y = N / M
        Gam = mpmath.sqrt(bP * bQ)
        return Gam * fading * (y - 1 / y) / 2, Gam * fading * (y + 1 / y) / 2


def _push(u, w, gamma, eta_u, eta_w, A, k, mu, t):
    """Integral of k gamma r where one layer is not trained: a linear equation."""
    F0, kernel = gamma * _dot(u, w), gamma * (eta_u * _dot(w, w) + eta_w * _dot(u, u))
    if t == 0:
        return mpmath.mpf(0)
    rate = k * gamma * kernel
    total = lambda x: rate * (1 - mpmath.exp(-2 * mu * x)) / (2 * mu) if mu else rate * x  # noqa: E731
    source = lambda x: k * gamma * (A - F0 * mpmath.exp(-2 * mu * x)) * mpmath.exp(total(x) - total(t))  # noqa: E731
    width = 1 / (rate + mu + mpmath.mpf(10) ** -30)
    edges = [t] + [t - width * 2**i / 4 for i in range(200) if width * 2**i / 4 < t] + [mpmath.mpf(0)]
    return mpmath.quad(source, sorted(edges))


def integrate(u, w, A, times, mu, gamma=1.0, eta_u=1.0, eta_w=1.0, m2=1.0, c=1.0, tolerance=1e-12):
    """Weights at these times by DOP853: arrays (times, p)."""
    u, w = np.asarray(u, dtype=float), np.asarray(w, dtype=float)
    p = u.size

    def velocity(_, state):
        force = c * gamma * m2 * (A - gamma * (state[:p] @ state[p:]))
        return force * np.concatenate([eta_u * state[p:], eta_w * state[:p]]) - mu * state

    with np.errstate(all="ignore"):
        found = solve_ivp(
            velocity, (0.0, float(np.max(times))), np.concatenate([u, w]), method="DOP853", t_eval=np.asarray(times),
            rtol=tolerance, atol=1e-15,
        )
    return found.y[:p].T, found.y[p:].T


def curriculum(u, w, targets, starts, t, **others):
    """`linear_network.exact` for one target after another; starts[0] = 0."""
    ends = [*starts[1:], float("inf")]
    for A, start, end in zip(targets, starts, ends, strict=True):
        with mpmath.workdps(200):
            passed = min(mpmath.mpf(t), mpmath.mpf(end)) - mpmath.mpf(start)
            found = exact(u, w, A, passed, **others)
        if t < end:
            return found
        u, w = found["u"], found["w"]
    raise ValueError("t must be finite")
