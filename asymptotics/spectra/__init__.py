"""Limiting spectra and resolvent functionals."""

from .densities import density_spectrum, wishart_spectrum
from .marchenko_pastur import Isotropic, Overlaps, RowCovariance, SpectralCurve
from .step_curve import StepCurve

__all__ = ["Isotropic", "Overlaps", "RowCovariance", "SpectralCurve", "StepCurve", "density_spectrum",
           "wishart_spectrum"]
