"""Slow, independent reference implementations used by the tests."""
