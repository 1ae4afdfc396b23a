"""`python -m validation SLUG`: simulate actual networks and compare them with the theory."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from asymptotics import ParameterError
from asymptotics.console import Parser, guarded
from asymptotics.files import check_writable, reason
from asymptotics.problem import nearest

from . import (
    concrete_features,
    giant_step,
    linear_network_descent_protocol,
    linear_network_ensemble_protocol,
    linear_network_extensions,
    linear_network_inputs_protocol,
    linear_network_loss,
    linear_network_protocol,
    polynomial_protocol,
    power_network,
    spiked_random_features,
    structured_features_protocol,
)
from .engine import run
from .protocols import Protocol
from .report import Report

PROTOCOLS: dict[str, Callable[[str], Protocol]] = {
    "concrete-features": concrete_features.protocol,
    "giant-step": giant_step.protocol,
    "linear-network": linear_network_protocol.protocol,
    "linear-network-ensemble": linear_network_ensemble_protocol.protocol,
    "linear-network-inputs": linear_network_inputs_protocol.protocol,
    "linear-network-descent": linear_network_descent_protocol.protocol,
    "linear-network-curriculum": linear_network_extensions.curriculum_protocol,
    "linear-network-decay": linear_network_extensions.decay_protocol,
    "linear-network-loss": linear_network_loss.protocol,
    "polynomial-spikes": polynomial_protocol.protocol,
    "power-network": power_network.protocol,
    "spiked-random-features": spiked_random_features.protocol,
    "structured-features": structured_features_protocol.protocol,
}
SIZES = ("quick", "full")
NOT_PASSED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: the protocol passed.  1: it failed or was inconclusive.  2: the input is invalid, said in one line.
    """
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    if options.slug not in PROTOCOLS:
        raise ParameterError("SLUG", f"{options.slug!r} has no protocol"
                             + (nearest(options.slug, PROTOCOLS) or f" ({', '.join(PROTOCOLS)})"))
    protocol = PROTOCOLS[options.slug](options.size)
    files = None if options.report is None else _Files(options.report, f"{options.slug}-{options.size}")
    start = time.monotonic()
    store = options.store or (None if files is None else files.store)
    report = run(protocol, options.seed, options.workers, store)
    print(report)
    print(f"{time.monotonic() - start:.0f} s")
    if files is not None:
        files.write(report)
    return 0 if report.passed else NOT_PASSED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m validation",
        description="Simulate actual networks in plain NumPy and compare them with the theory.",
        epilog="exit codes: 0 passed; 1 failed or inconclusive; 2 invalid input",
    )
    parser.add_argument("slug", metavar="SLUG", help=", ".join(PROTOCOLS))
    parser.add_argument("--size", choices=SIZES, default="quick", help="quick: under a minute; full: under 25 minutes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="root of all random numbers (0)")
    parser.add_argument("--workers", type=int, default=None, metavar="N", help="processes (all cores)")
    parser.add_argument("--report", metavar="DIR", help="write table, text and figure there, and keep finished "
                        "networks in a store beside them")
    parser.add_argument("--store", metavar="DIR", help="keep finished networks there instead: a run that was killed, "
                        "started again with the same command, continues")
    return parser


class _Files:
    """The files of a report, refused before anything is simulated."""

    def __init__(self, directory: str, name: str) -> None:
        place = Path(directory)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError("--report", f"{directory} cannot be made ({reason(error)})") from None
        self.table, self.text, self.figure = (
            check_writable("--report", place / f"{name}{end}") for end in (".csv", ".txt", ".png")
        )
        self.store = place / f"{name}.store"

    def write(self, report: Report) -> None:
        from asymptotics.files import replacing
        from asymptotics.plots import save

        report.to_csv(self.table)
        with replacing(self.text) as temporary:
            temporary.write_text(f"{report}\n", encoding="utf-8")
        save(report.figure(), self.figure)
        for path in (self.table, self.text, self.figure):
            print(f"wrote {os.path.relpath(path) if not path.is_absolute() else path}")


if __name__ == "__main__":
    sys.exit(main())
