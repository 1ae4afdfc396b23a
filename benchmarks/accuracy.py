"""Worst deviation per observable from the stored multiple-precision solutions: the table of docs/accuracy.md."""

from __future__ import annotations

from tests.theories.polynomial_spikes import test_random_box as polynomial_spikes
from tests.theories.test_random_box import deviations, problems, solve

LEVELS = ("full", "finite_rank", "limit")


def main() -> None:
    """Print a Markdown table for each theory."""
    spiked_random_features()
    spikes_by_level()


def spikes_by_level() -> None:
    """`polynomial-spikes`: the worst deviation at each level."""
    worst: dict[str, dict[str, float]] = {}
    stored = polynomial_spikes.STORED
    unconverged = 0
    for entry in stored:
        prediction = polynomial_spikes.solve(entry)
        unconverged += not prediction.converged
        for name, deviation in polynomial_spikes.deviations(entry, prediction).items():
            column = worst.setdefault(name, {})
            level = entry["parameters"]["level"]
            column[level] = max(deviation, column.get(level, 0.0))
    print(f"\n{len(stored)} problems of polynomial-spikes, {unconverged} not converged\n")
    print(f"| observable | {' | '.join(LEVELS)} |\n|---|{'---|' * len(LEVELS)}")
    for name, column in worst.items():
        print(f"| {name} | {' | '.join(f'{column[level]:.0e}' if level in column else '' for level in LEVELS)} |")


def spiked_random_features() -> None:
    """`spiked-random-features`."""
    stored = problems()
    worst: dict[str, tuple[float, dict]] = {}
    unconverged = 0
    for problem in stored:
        prediction = solve(problem)
        unconverged += not prediction.converged
        for name, deviation in deviations(problem, prediction).items():
            if deviation >= worst.get(name, (-1.0, {}))[0]:
                worst[name] = (deviation, problem["parameters"])
    print(f"{len(stored)} problems, {unconverged} not converged\n")
    print("| observable | worst deviation | where |\n|---|---|---|")
    for name, (deviation, parameters) in worst.items():
        print(f"| {name} | {deviation:.0e} | {_where(parameters)} |")


def _where(parameters: dict) -> str:
    short = {"spike_strength": "r", "bulk_variance": "c", "alignment": "γ", "alpha": "α", "beta": "β", "lam": "λ",
             "noise_var": "noise", "row_norm_variance": "κ_δ", "n_finite": "n"}
    numbers = (f"{short[name]}={value:.3g}" for name, value in parameters.items()
               if name in short and value is not None and not (name == "row_norm_variance" and value == 0))
    return f"{parameters['activation']}/{parameters['target']} " + " ".join(numbers)


if __name__ == "__main__":
    main()
