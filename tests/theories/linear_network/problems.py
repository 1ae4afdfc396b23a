"""Problems that several test files share."""

import numpy as np

from asymptotics import LinearNetwork
from tests.reference.linear_network import decades

CASES = {
    "A": dict(u=(0.5, -0.2, 0.1), w=(0.3, 0.4, -0.6), target_coefficient=1.0),
    "B": dict(u=(0.5, -0.2, 0.1), w=(0.3, 0.4, -0.6), gamma=0.7, eta_u=2.0, eta_w=0.5, m2=1.5, target_coefficient=-2.0),
    "C": dict(u=(1.2, 0.9), w=(1.0, 1.1), eta_w=0.25, m2=0.8, target_coefficient=0.3),
    "D": dict(u=(1e-4, 2e-4, -1e-4), w=(3e-4, 1e-4, 2e-4), target_coefficient=2.0),
    "E": dict(u=(0.8,), w=(-0.5,), gamma=1.3, eta_u=0.6, eta_w=1.1, target_coefficient=1.0),
}


def case(name, **changes):
    return LinearNetwork(**{"t": 1.0, **CASES[name], **changes})


def random_problem(rng, kind, scale=0.5):
    """Parameters with entries over 10^(+-scale); `kind` picks a degeneracy, or none."""
    p = int(rng.integers(1, 6))

    def size():
        return float(10 ** rng.uniform(-scale, scale))

    given = dict(
        u=rng.normal(size=p) * size(), w=rng.normal(size=p) * size(), gamma=rng.choice([-1, 1]) * size(),
        eta_u=size(), eta_w=size(), m2=size(), loss_factor=size(), target_coefficient=rng.choice([-1, 1]) * size(),
    )
    if kind == "no target":
        given["target_coefficient"] = 0.0
    elif kind == "u is frozen":
        given["eta_u"] = 0.0
    elif kind == "w is frozen":
        given["eta_w"] = 0.0
    elif kind == "aligned":
        given.update(u=given["w"], eta_u=given["eta_w"])
    elif kind == "opposed":
        given.update(u=-given["w"], eta_u=given["eta_w"])
    elif kind == "almost aligned":
        noise = 10 ** rng.uniform(-15, -1) * rng.normal(size=p)
        given.update(u=rng.choice([-1, 1]) * given["w"] * (1 + noise), eta_u=given["eta_w"])
    elif kind == "balanced up to rounding":
        given["u"] = given["w"] * np.sqrt(given["eta_u"] / given["eta_w"])
    elif kind == "unbalanced":
        given["u"] = given["u"] * 10 ** rng.uniform(-30, 30)
    return {name: float(value) if np.ndim(value) == 0 else value for name, value in given.items()}


KINDS = ("generic", "no target", "u is frozen", "w is frozen", "aligned", "opposed", "almost aligned",
         "balanced up to rounding", "unbalanced")


def extreme_problem(rng, kind):
    """Scales of the weights, gamma, rates and the target between 1e-100 and 1e100, with a kernel that is in range."""
    while True:
        given = _extreme(rng, kind)
        kernel, rate = decades(**arguments(given))
        if max(map(abs, (*kernel, rate))) < 280 and max(kernel) - min(kernel) < 280:
            return given


def _extreme(rng, kind):
    given = random_problem(rng, kind, 1.0)
    u, w = rng.uniform(-100, 100, size=2)
    if kind not in ("generic", "no target", "u is frozen", "w is frozen", "unbalanced"):
        u = w
    rate_u = rng.uniform(-60, 60)
    rate_w = float(np.clip(rate_u + 2 * (w - u) + rng.uniform(-5, 5) * (u != w), -100, 100))
    gamma = float(np.clip(-(u + w) + rng.uniform(-40, 40), -100, 100))
    for name, exponent in (("u", u), ("w", w), ("gamma", gamma), ("eta_u", rate_u), ("eta_w", rate_w),
                           ("target_coefficient", rng.uniform(-100, 100))):
        given[name] = given[name] * 10.0**exponent
    return given


def arguments(given):
    """What the functions of `tests.reference.linear_network` take."""
    names = dict(gamma="gamma", eta_u="eta_u", eta_w="eta_w", m2="m2", loss_factor="c")
    others = {names[name]: value for name, value in given.items() if name in names}
    return dict(u=[float(x) for x in given["u"]], w=[float(x) for x in given["w"]], A=given["target_coefficient"],
                **others)
