"""The published reference numbers, to 1e-9."""

import numpy as np
import pytest

from asymptotics import GiantStep, SpikedRandomFeatures

ERF = "erf(x/sqrt(2))"

STEP_ROWS = [
    (
        dict(activation="tanh", target="sin", alpha0=20.0, eta=3.0, alpha=0.2, lam=0.1),
        dict(
            spike_strength=1.13405550928, bulk_variance=1.01897320046, alignment=0.971854444487,
            test_error=0.0484829019195, train_error=0.0124937982211, m=1.0952102783, th=0.0127612861901,
            psi=0.0344403321834, q1=0.0240418658117, q2=0.0147938275219, V1=7.95047854566, V2=8.72375079585,
        ),
    ),
    (
        dict(activation="tanh", target="sin", alpha0=20.0, eta=3.0, alpha=3.0, lam=0.1),
        dict(
            spike_strength=1.13405550928, bulk_variance=1.01897320046, alignment=0.971854444487,
            test_error=0.0325182080146, train_error=0.0221979316238, m=1.12578861101, th=0.0720942432891,
            psi=0.188921752649, q1=0.0638330363978, q2=0.0852635247313, V1=1.13060935999, V2=2.47513640597,
        ),
    ),
    (
        dict(activation=ERF, target=ERF, alpha0=0.5, eta=4.0, alpha=2.0, lam=0.1, noise_var=0.1, noise_var_step=0.0),
        dict(
            spike_strength=2.23974203669, bulk_variance=1.52525558148, alignment=0.568475977983,
            test_error=0.294239254296, train_error=0.147220640485, m=0.484799200066, th=-0.0531263686213,
            psi=0.578533581004, q1=0.910952151704, q2=0.647130575197, V1=3.40726226675, V2=3.96474509382,
        ),
    ),
    (
        dict(
            activation="relu", target="relu", alpha0=2.0, eta=1.5, alpha=2.0, lam=0.1, noise_var=0.05,
            noise_var_step=0.0,
        ),
        dict(
            spike_strength=0.486299981756, bulk_variance=1.09586267226, alignment=0.771128961688,
            test_error=0.233654945067, train_error=0.0824682198672, m=0.891392993069, th=0.161348196095,
            psi=0.315032994089, q1=0.328613334724, q2=0.392655869359, V1=1.48004364469, V2=2.54692878835,
        ),
    ),
    (
        dict(activation="sin", target="tanh", alpha0=4.0, eta=2.0, alpha=0.8, beta=1.5, lam=1.0, noise_var=0.2),
        dict(
            spike_strength=0.87091786804, bulk_variance=1.11873302677, alignment=0.843659260677,
            test_error=0.319983756506, train_error=0.188963129487, m=1.44847630021, th=-0.00894900394859,
            psi=0.0794458889065, q1=0.0563828411794, q2=0.0289097369585, V1=0.879190468039, V2=0.878798813444,
        ),
    ),
]

EXACT_ROWS = [
    (
        dict(activation=ERF, target=ERF, alpha0=0.5, eta=4.0, alpha=2.0, lam=0.1, noise_var=0.1, noise_var_step=0.0),
        dict(
            spike_strength=2.23974203669, bulk_variance=1.52525558148, alignment=0.568475977983,
            test_error=0.306194410081, train_error=0.154004712706, m=0.501220343902, th=-0.157015433554,
            psi=0.498735319108, q1=0.818714277743, q2=0.668581474131, V1=3.19555581824, V2=4.08882305395,
        ),
    ),
    (
        dict(activation="relu", target=ERF, alpha0=0.5, eta=3.0, alpha=2.0, lam=1.0),
        dict(
            spike_strength=1.71242357138, bulk_variance=2.48924024856, alignment=0.494202713315,
            test_error=0.247723821823, train_error=0.170780922838, m=0.0638019614018, th=0.151414577367,
            psi=0.204542803255, q1=0.133967395964, q2=0.0660184783172, V1=0.642401259073, V2=0.576398883737,
        ),
    ),
]

FEATURE_ROWS = [
    (
        dict(
            activation="tanh", target="sin", spike_strength=0.0, alignment=0.0, alpha=2.0, lam=0.01, noise_var=0.1
        ),
        dict(
            test_error=0.449239359703, train_error=0.128296543593, m=0, th=0, psi=0.730578006914, q1=1.04610773975,
            q2=2.5500279662, V1=1.86060308639, V2=6.88052392369,
        ),
    ),
    (
        dict(activation="relu", target="sin", spike_strength=1.0, alignment=0.9, alpha=3.0, lam=0.1),
        dict(
            test_error=0.314182914415, train_error=0.207814948857, m=0.239195619396, th=0.250471590865,
            psi=0.242053422851, q1=0.212526242303, q2=0.421790018569, V1=0.890988602319, V2=1.98846343311, chi=0,
        ),
    ),
    (
        dict(
            activation="relu", target="sin", spike_strength=1.0, alignment=0.9, row_norm_variance=2.0, alpha=3.0,
            lam=0.1,
        ),
        dict(
            test_error=0.308712537991, train_error=0.202460327989, m=0.285616567163, th=0.227083956222,
            chi=-0.227083956222, psi=0.242053422851, q1=0.216912120877, q2=0.439408464238, V1=0.890988602319,
            V2=1.98846343311,
        ),
    ),
    (
        dict(
            activation="sign", target="tanh", spike_strength=2.0, bulk_variance=1.3, alignment=0.6, alpha=1.5, beta=0.7,
            lam=0.05, noise_var=0.1,
        ),
        dict(
            test_error=0.561444828175, train_error=0.169660829951, m=0.513870566413, th=-0.0277788546347,
            psi=0.277944648422, q1=0.760021686262, q2=0.705882662823, V1=2.43641880167, V2=2.51080883962,
        ),
    ),
]


@pytest.mark.parametrize(("parameters", "expected"), STEP_ROWS)
def test_giant_step(parameters, expected):
    _compare(GiantStep(**parameters, model="isotropic").solve(), expected)


@pytest.mark.parametrize(("parameters", "expected"), FEATURE_ROWS)
def test_spiked_random_features(parameters, expected):
    _compare(SpikedRandomFeatures(**parameters).solve(), expected)


@pytest.mark.parametrize(("parameters", "expected"), EXACT_ROWS)
def test_exact_step_is_the_default(parameters, expected):
    _compare(GiantStep(**parameters).solve(), expected)


def test_two_cells_at_once_give_the_same_as_one():
    together = GiantStep(activation="tanh", target="sin", alpha0=20, eta=3, alpha=[0.2, 3.0], lam=0.1,
                         model="isotropic").solve()
    np.testing.assert_allclose(together.test_error, [0.0484829019195, 0.0325182080146], rtol=0, atol=1e-9)


def _compare(prediction, expected):
    assert prediction.converged
    for name, value in expected.items():
        # twelve printed digits
        assert getattr(prediction, name) == pytest.approx(value, rel=2e-11, abs=1e-12), name
