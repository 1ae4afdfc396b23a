"""Random features and their spikes in mpmath, written from the formulas alone and as directly as possible.

Derivatives are finite differences, kernels are inverted, projections are normal equations: everything that loses
digits, with digits to lose.
"""

from __future__ import annotations

import mpmath as mp

DIGITS = 60
NO_RIDGE = -90  # lam = 0 is 10^NO_RIDGE


def numbers(*values):
    return [mp.mpf(float(value)) for value in values]


def difference(function, at, digits):
    """Central difference with a relative step."""
    step = at * mp.mpf(10) ** -digits
    return (function(at + step) - function(at - step)) / (2 * step)


class Bulk:
    """The scalar equation for e at a ridge."""

    def __init__(self, lam, linear, white, p, n, d):
        lam, self.linear, self.white, self.p, self.n, d = numbers(lam, linear, white, p, n, d)
        self.q, self.beta = self.p / self.n, self.p / d
        self.lam_bar = lam * self.q or mp.mpf(10) ** NO_RIDGE

    def hidden(self, e):
        """M."""
        x = e * self.linear / (1 + e * self.white)
        b = 1 + x - x * self.beta
        return (mp.sqrt(b * b + 4 * x * self.beta) - b) / (2 * x * self.beta) if x else mp.mpf(1)

    def g(self, e):
        return self.hidden(e) / (1 + e * self.white)

    def r_1(self, e):
        x = e * self.linear / (1 + e * self.white)
        return e / (1 + x * self.beta * self.hidden(e))

    def e(self, lam_bar=None):
        lam_bar = self.lam_bar if lam_bar is None else lam_bar

        def missing(log_e):
            return lam_bar * mp.exp(log_e) + self.q * (1 - self.g(mp.exp(log_e))) - 1

        low = mp.log(1 / (lam_bar + self.q * (self.linear + self.white)))
        high = mp.log(1 / lam_bar)
        while high - low > mp.mpf(10) ** -6:
            middle = (low + high) / 2
            low, high = (middle, high) if missing(middle) < 0 else (low, middle)
        for _ in range(6):
            low -= missing(low) / ((missing(low + mp.mpf(10) ** -25) - missing(low)) * mp.mpf(10) ** 25)
        return mp.exp(low)

    def functionals(self):
        """By the names of `asymptotics.spectra.random_features.Resolvent`."""
        e = self.e()
        slope = -difference(self.g, e, 20)
        share = self.r_1(e) / e
        return {
            "r_w": e,
            "linear_share": share,
            "linear_learned": 1 - share,
            "coupling": self.g(e) * e,
            "train_weight": self.lam_bar * e,
            "test_weight": 1 / (e * (self.lam_bar + self.q * slope)),  # -e'/e^2 by the implicit function theorem
            "linear_test_ratio": difference(self.r_1, e, 20),
            "coupling_test_ratio": slope * e**2,
        }


class FiniteRank:
    """Errors and overlaps for a kernel K over degrees 0..J and the radial direction."""

    def __init__(self, bulk, kernel, coefficients, second, rho, noise_var):
        self.bulk = bulk
        self.size = kernel.rows
        self.kernel = kernel
        rho, second, noise_var = numbers(rho, second, noise_var)
        self.rho, self.c = rho, numbers(*coefficients) + [mp.mpf(0)] * (self.size - len(coefficients))
        self.y = mp.matrix([c * rho**k for k, c in enumerate(self.c)])
        rest = [y**2 for k, y in enumerate(self.y) if k != 1]
        self.unlearnable = second + noise_var - self.c[1] ** 2 - mp.fsum(rest)

    def solution(self, e):
        """b and Sfun."""
        r_1 = self.bulk.r_1(e)
        matrix = self.bulk.g(e) * self.kernel
        for j in range(self.size):
            matrix[j, j] += 1 / (r_1 if j == 1 else e)
        b = mp.lu_solve(matrix, self.y)
        own = mp.fsum(y * value for y, value in zip(self.y, b, strict=True))
        return b, own + r_1 * self.c[1] ** 2 * (1 - self.rho**2) + e * self.unlearnable

    def observables(self, degrees):
        bulk = self.bulk
        e = bulk.e()
        b, total = self.solution(e)
        # L_test = -(d/d lam_bar)(L_train/lam_bar)/r_w^2, with de/d lam_bar from the equation
        derivative = 1 / difference(lambda v: (1 - bulk.q * (1 - bulk.g(v))) / v, e, 20)
        test = -difference(lambda v: self.solution(v)[1], e, 20) * derivative / e**2
        overlaps = [self.rho**k * (self.y[k] - b[k] / e) for k in range(degrees)]
        overlaps[1] += self.c[1] * (1 - self.rho**2) * (1 - bulk.r_1(e) / e)
        return {
            "ridge_objective": bulk.lam_bar * total,
            "test_error": test,
            "train_error": (bulk.lam_bar * e) ** 2 * test,
            "overlaps": overlaps,
        }


def hermite_norm(m, j):
    """<xi^m, h_j>."""
    if j > m or (m - j) % 2:
        return mp.mpf(0)
    half = (m - j) // 2
    return mp.factorial(m) / (2**half * mp.factorial(half) * mp.sqrt(mp.factorial(j)))


def spike_function(c, k, r, sr, size):
    """Hermite coefficients of P_k from those of sigma."""
    total = [mp.mpf(0)] * size
    for m in range(k + 1):
        factor = mp.binomial(k, m) * sr**m * mp.fsum(
            hermite_norm(m, j) * mp.sqrt(mp.factorial(k + j) / mp.factorial(j)) * c[k + j] for j in range(m + 1)
        )
        power = k - m  # E (kappa + sqrt(r) xi)^power
        for i in range(0, power + 1, 2):
            moment = mp.factorial(i) / (2 ** (i // 2) * mp.factorial(i // 2)) * r ** (i // 2)
            for j in range(power - i + 1):
                total[j] += factor * mp.binomial(power, i) * moment * hermite_norm(power - i, j)
    return total


def limit(bulk, spikes, coefficients, second, rho, noise_var, degrees):
    """Errors and overlaps where the functions `spikes` (lists of Hermite coefficients) are fitted at no cost."""
    size = max([len(spike) for spike in spikes] + [len(coefficients), degrees])
    rho, second, noise_var = numbers(rho, second, noise_var)
    c = numbers(*coefficients) + [mp.mpf(0)] * (size - len(coefficients))
    y = [value * rho**k for k, value in enumerate(c)]
    at = bulk.functionals()
    m_w, chi_w, share = at["train_weight"], at["test_weight"], at["linear_share"]
    weights = [share if k == 1 else mp.mpf(1) for k in range(size)]
    left = list(y)
    if spikes:
        spikes = [list(spike) + [mp.mpf(0)] * (size - len(spike)) for spike in spikes]
        norms = [mp.sqrt(mp.fsum(v * v for v in spike)) for spike in spikes]
        spikes = [[v / norm for v in spike] for spike, norm in zip(spikes, norms, strict=True)]
        gram = mp.matrix([[mp.fsum(w * a * b for w, a, b in zip(weights, one, two, strict=True)) for two in spikes]
                          for one in spikes])
        right = mp.matrix([mp.fsum(w * a * b for w, a, b in zip(weights, one, y, strict=True)) for one in spikes])
        solved = mp.lu_solve(gram, right)
        left = [value - mp.fsum(s * spike[k] for s, spike in zip(solved, spikes, strict=True))
                for k, value in enumerate(y)]
    rest = second + noise_var - c[1] ** 2 - mp.fsum(v * v for k, v in enumerate(y) if k != 1)
    hidden = c[1] ** 2 * (1 - rho**2)

    def total(weight, linear_weight):
        return weight * rest + linear_weight * hidden + mp.fsum(
            (linear_weight if k == 1 else weight) * v * v for k, v in enumerate(left))

    overlaps = [rho**k * (y[k] - left[k]) for k in range(degrees)]
    overlaps[1] = rho * (y[1] - share * left[1]) + c[1] * (1 - rho**2) * (1 - share)
    test = total(chi_w, chi_w * at["linear_test_ratio"])
    return {
        "ridge_objective": total(m_w, m_w * share),
        "test_error": test,
        "train_error": m_w**2 * test,
        "overlaps": overlaps,
    }
