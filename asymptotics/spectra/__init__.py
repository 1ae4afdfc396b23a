"""Limiting spectra and their resolvent functionals."""

from .marchenko_pastur import SpectralCurve, isotropic_curve

__all__ = ["SpectralCurve", "isotropic_curve"]
