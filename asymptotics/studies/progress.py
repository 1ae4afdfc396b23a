"""Progress of long work."""

from __future__ import annotations


class Bar:
    """Progress on a terminal: tiles, rate, time left, cells that did not converge; nothing in a pipe."""

    def __init__(self, count: int, done: int, failed: int, unit: str) -> None:
        from tqdm import tqdm

        self.failed = failed
        self._bar = tqdm(total=count, initial=done, unit=unit, disable=None if count > 1 else True, leave=False,
                         dynamic_ncols=True)

    def __enter__(self) -> Bar:
        self._show()
        return self

    def __exit__(self, *rest: object) -> None:
        self._bar.close()

    def advance(self, failed: int) -> None:
        """One more tile."""
        self.failed += failed
        self._show()
        self._bar.update()

    def _show(self) -> None:
        if self.failed:
            self._bar.set_postfix_str(f"not converged: {self.failed}", refresh=False)
