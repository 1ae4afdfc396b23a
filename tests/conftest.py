"""Every test runs with floating point errors raised; warnings are errors by the settings in setup.cfg."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.toy import Toy

np.seterr(all="raise")


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    """The toy theory, listed among the others."""
    from asymptotics.theories import THEORIES

    monkeypatch.setitem(THEORIES, Toy.slug, Toy)
    return Toy
