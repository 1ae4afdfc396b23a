"""Slow references for ridge on structured features, from the definitions, in mpmath: bisection only.

`ridge` solves kappa (n - df1) = lam by bisection; `chain` solves the chain of layers from the top down, layer inside
layer, in the form in which the equations are first written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp


def ridge(
    s: Sequence[float], w: Sequence[float], t: Sequence[float], sres: float, n: float, lam: float, digits: int = 60
) -> dict[str, Any] | None:
    """All observables at one cell, None at kappa = 0; signal per eigenvalue t = c/s."""
    with mp.workdps(digits):
        s, w, t = ([mp.mpf(float(value)) for value in values] for values in (s, w, t))
        n, lam, sres = (mp.mpf(float(value)) for value in (n, lam, sres))
        if lam == 0 and n >= sum(w):
            return None
        kappa = _root(lambda k: k * (n - sum(b * a / (a + k) for a, b in zip(s, w, strict=True))) - lam,
                      (lam + sum(a * b for a, b in zip(s, w, strict=True))) / n)
        df1 = sum(b * a / (a + kappa) for a, b in zip(s, w, strict=True))
        df2 = sum(b * (a / (a + kappa)) ** 2 for a, b in zip(s, w, strict=True))
        bias = sum(b * (kappa / (a + kappa)) ** 2 for a, b in zip(s, t, strict=True))
        misfit = sum(b * kappa / (a + kappa) for a, b in zip(s, t, strict=True))
        test = (bias + sres) / (1 - df2 / n)
        train = (lam / (n * kappa)) ** 2 * test
        objective = lam / (n * kappa) * (sres + misfit)
        return {
            "effective_ridge": kappa, "df1": df1, "df2": df2, "bias": bias, "variance": (bias + sres) * df2 / (n - df2),
            "test_error": test, "train_error": train, "ridge_objective": objective,
            "bias_fixed_design": bias / (1 - df2 / n), "variance_noise": sres * df2 / (n - df2),
            "weight_norm": n / lam * (objective - train) if lam else None,
        }


def chain(
    eigenvalues: Sequence[float], weights: Sequence[float], signal: Sequence[float], slopes: Sequence[Any],
    noises: Sequence[Any], widths: Sequence[int], moment: float, n: float, lam: float, digits: int = 60,
    columns: Sequence[Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Errors on the last layer, lam > 0, from kappa_L down: each kappa_{l-1} solves its own equation."""
    with mp.workdps(digits):
        s, w, t = ([mp.mpf(value) for value in values] for values in (eigenvalues, weights, signal))
        a, b = [mp.mpf(value) for value in slopes], [mp.mpf(value) for value in noises]
        sizes = [sum(w), *map(mp.mpf, widths)]
        n, lam, moment = mp.mpf(n), mp.mpf(lam), mp.mpf(moment)
        trace = sum(x * y for x, y in zip(s, w, strict=True))
        traces = [trace]
        for layer in range(len(a)):
            mean = 1 if columns is None else mp.fsum(columns[layer]) / len(columns[layer])
            traces.append(sizes[layer + 1] * (a[layer] * mean * traces[layer] / sizes[layer] + b[layer]))

        def stretched(kappa: Any, filled: Any, layer: int) -> Any:
            """kappa t_C w/(1 - w) with mean C/(C + t_C) = w = D/p."""
            if columns is None:
                return kappa
            c, w = [mp.mpf(value) for value in columns[layer]], filled / sizes[layer]
            tau = _root(lambda t: w - mp.fsum(x / (x + t) for x in c) / len(c), sum(c) / w, lowest=120)
            return kappa * w / (mp.fsum(1 / (x + tau) for x in c) / len(c))

        def inputs(top: Any) -> Any:
            """kappa_0 at kappa_L: invert (kappa_{l-1}) -> kappa_l as a whole, by bisection in kappa_0."""
            high = top
            for layer in reversed(range(len(a))):
                least = 1 if columns is None else len(columns[layer]) / mp.fsum(1 / mp.mpf(x) for x in columns[layer])
                high = (sizes[layer] * (b[layer] + high) / (a[layer] * least) + traces[layer]) / sizes[layer + 1]
            return _root(lambda k: climb(k)[0] - top, high, lowest=120)

        def climb(kappa: Any) -> tuple[Any, Any]:
            filled = sum(y * x / (x + kappa) for x, y in zip(s, w, strict=True))
            for layer in range(len(a)):
                kappa = stretched(kappa, filled, layer)
                up = a[layer] * kappa * (sizes[layer + 1] - filled) / sizes[layer] - b[layer]
                if up <= 0:
                    return mp.mpf(-1) * 10**6, sizes[layer + 1]
                filled = sizes[layer + 1] - sizes[layer] * up / (a[layer] * kappa)
                kappa = up
            return kappa, filled

        def df1(top: Any) -> Any:
            return climb(inputs(top))[1]

        kappa = _root(lambda k: k * (n - df1(k)) - lam, (lam + traces[-1]) / n, halvings=75, lowest=120)
        step = kappa * mp.mpf(10) ** (-digits // 4)
        d_df1 = (df1(kappa + step) - df1(kappa - step)) / (2 * step)

        def overlap(top: Any) -> Any:
            ridge = inputs(top)
            return sum(y * x / (x + ridge) for x, y in zip(s, t, strict=True))

        d_overlap = (overlap(kappa + step) - overlap(kappa - step)) / (2 * step)
        filled = df1(kappa)
        df2 = filled + kappa * d_df1
        test = (moment - overlap(kappa) + kappa * d_overlap) / (1 - df2 / n)
        train = (lam / (n * kappa)) ** 2 * test
        objective = lam / (n * kappa) * (moment - overlap(kappa))
        return {"effective_ridge": kappa, "df1": filled, "df2": df2, "test_error": test, "train_error": train,
                "ridge_objective": objective, "weight_norm": n / lam * (objective - train) if lam > 1e-10 else None}


def _root(function: Callable[[Any], Any], high: Any, halvings: int = 0, lowest: int = 1000) -> Any:
    """The root of an increasing function on (0, high], by bisection in the logarithm."""
    low, high = mp.mpf(-lowest), mp.log(high) + 1
    for _ in range(halvings or int(3.5 * mp.mp.dps) + 20):
        middle = (low + high) / 2
        if function(mp.e**middle) < 0:
            low = middle
        else:
            high = middle
    return mp.e ** ((low + high) / 2)
