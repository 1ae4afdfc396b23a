"""Problems that several test files share."""

from asymptotics import LinearNetworkEnsemble
from tests.reference.linear_network_ensemble import Cell

ROWS = [  # parameters, then means of F, Theta, excess loss, cosine, final Theta
    (dict(t=1.0, p=20, var_u=1 / 20, var_w=1 / 20, target_coefficient=1.0),
     (0.891006907259, 2.65253207211, 0.00756846786658, 0.690241106506, 2.8112255261)),
    (dict(t=2.0, p=50, var_u=1 / 2500, var_w=1.0, eta_u=1 / 50, eta_w=50.0, target_coefficient=1.0),
     (0.993239972832, 2.81150929861, 2.94795337735e-05, 0.713592523104, 2.82143418186)),
    (dict(t=1.5, p=4, var_u=0.3, var_w=0.5, correlation=0.4, gamma=0.7, eta_w=0.3, target_coefficient=-1.2),
     (-0.808426155347, 1.23236612706, 0.113978500455, -0.735595150222, 1.45232840582)),
    (dict(t=6.0, p=2, var_u=0.5, var_w=0.5, target_coefficient=1.0),
     (0.999914980806, 2.68794252455, 4.43740411857e-06, 0.881163423856, 2.68811159467)),
]
MEANS = ("mean_coefficient", "mean_ntk", "mean_excess_loss", "mean_cosine", "mean_final_ntk")
WITHOUT_ANGLE = ("mean_coefficient", "mean_ntk", "mean_excess_loss", "mean_final_ntk", "sd_coefficient", "sd_ntk")


def ensemble(**given):
    """An ensemble of width 5."""
    usual = dict(p=5, var_u=0.4, var_w=0.3, correlation=0.2, target_coefficient=1.0, t=1.0)
    return LinearNetworkEnsemble(**usual | given)


def random_problem(rng, p, targets=(-1, 1, 1, 0)):
    """Variances (times sqrt p), gamma, rates, m2, loss factor and target over two decades, early to late times."""
    def size():
        return float(10 ** rng.uniform(-1, 1))

    given = dict(
        p=p, var_u=size() / p**0.5, var_w=size() / p**0.5, correlation=float(rng.uniform(-0.95, 0.95)),
        gamma=float(rng.choice([-1, 1])) * size(), eta_u=size(), eta_w=size(), m2=size(), loss_factor=size(),
        target_coefficient=float(rng.choice(targets)) * size(),
    )
    kernel = LinearNetworkEnsemble(**given, t=0.0).solve(["mean_final_ntk"]).mean_final_ntk
    return given | {"t": float(10 ** rng.uniform(-3, 1.2) / (kernel * given["m2"] * given["loss_factor"]))}


def values(given, observables):
    """Solved: floats, of a cell that converged."""
    solution = LinearNetworkEnsemble(**given).solve(observables)
    assert solution.converged
    return {name: float(solution.values[name]) for name in observables}


def cell(given):
    return Cell.of(**given)
