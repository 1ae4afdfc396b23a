"""Draw random spiked random features problems, solve them with many digits, store them as JSON.

Run from the repository root::

    python -m tests.reference.random_problems [--count 320] [--processes 2]

The file is rewritten after every problem; a second run computes what is missing.  Parameters are
doubles and the reference is computed for exactly these doubles; observables are strings of 20
digits.  Draws come in blocks as long as the list of nonlinearities: each block uses every name once
as activation and once as target.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

from mpmath import mp

from .spiked_random_features import ACTIVATIONS, solve

SEED = 20240207
DIGITS = 30
STORED_DIGITS = 20
SECONDS_PER_PROBLEM = 120
FILE = Path(__file__).with_name("spiked_random_features.json")


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _sign(rng: random.Random) -> int:
    return rng.choice((-1, 1))


def _parameters(rng: random.Random, activation: str, target: str) -> dict:
    bulk_variance = _log_uniform(rng, 0.1, 30.0)
    strength = _sign(rng) * _log_uniform(rng, 1e-2, 1e2) * math.sqrt(bulk_variance)
    alignment = rng.uniform(-1.0, 1.0)
    if rng.random() < 0.2:
        alignment = _sign(rng) * rng.choice((0.99, 0.999))
    beta = _log_uniform(rng, 1e-2, 1e2)
    return {
        "activation": activation,
        "target": target,
        "spike_strength": 0.0 if rng.random() < 0.1 else strength,
        "bulk_variance": bulk_variance,
        "alignment": alignment,
        "alpha": _log_uniform(rng, 1e-2, 1e2),
        "beta": beta,
        "lam": _log_uniform(rng, 1e-8, 1e4),
        "noise_var": rng.choice((0.0, 0.1, 1.0)),
        "row_norm_variance": 2 * beta * bulk_variance**2 if rng.random() < 0.2 else 0.0,
        "n_finite": round(_log_uniform(rng, 100, 10000)) if rng.random() < 0.2 else None,
    }


def draws(count: int, seed: int = SEED) -> list[dict]:
    """The first `count` random problems."""
    rng = random.Random(seed)
    result: list[dict] = []
    while len(result) < count:
        activations, targets = list(ACTIVATIONS), list(ACTIVATIONS)
        rng.shuffle(activations)
        rng.shuffle(targets)
        result += [_parameters(rng, *names) for names in zip(activations, targets, strict=True)]
    return result[:count]


def _interrupt(*_) -> None:
    raise TimeoutError(f"more than {SECONDS_PER_PROBLEM} s")


def _compute(parameters: dict) -> tuple[dict, dict | None, str]:
    signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(SECONDS_PER_PROBLEM)
    start, report = time.monotonic(), {}
    observables, trouble = None, ""
    try:
        values = solve(**parameters, digits=DIGITS, report=report)
        observables = {name: mp.nstr(x, STORED_DIGITS) for name, x in values.items()}
    except (ArithmeticError, TimeoutError) as error:
        trouble = f"SKIPPED {error} {parameters}"
    finally:
        signal.alarm(0)
    return parameters, observables, f"{time.monotonic() - start:6.1f} s {report} {trouble}"


def _store(entries: list[dict]) -> None:
    temporary = FILE.with_suffix(".tmp")
    temporary.write_text(json.dumps(entries, indent=1) + "\n")
    os.replace(temporary, FILE)


def main() -> None:
    """Compute the problems that are not stored yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()

    problems = draws(options.count)
    entries = json.loads(FILE.read_text()) if FILE.exists() else []
    known = [entry["parameters"] for entry in entries]
    missing = [problem for problem in problems if problem not in known]
    with multiprocessing.Pool(options.processes, maxtasksperchild=8) as pool:
        for parameters, observables, remark in pool.imap_unordered(_compute, missing):
            index = problems.index(parameters)
            names = f"{parameters['activation']}/{parameters['target']}"
            print(f"{index:4d} {names:30s} {remark}", file=sys.stderr, flush=True)
            if observables is None:
                continue
            entries.append({"parameters": parameters, "observables": observables})
            entries.sort(key=lambda entry: problems.index(entry["parameters"]))
            _store(entries)


if __name__ == "__main__":
    main()
