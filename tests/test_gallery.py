"""The gallery shows every study of examples/ as it is, and there is a study for every theory."""

import importlib.util
from pathlib import Path

from asymptotics.theories import THEORIES

ROOT = Path(__file__).parents[1]


def gallery():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make_gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_theory_has_a_study():
    made = gallery()
    assert {made.theory_of(path) for path in made.STUDIES.glob("*.toml")} == set(THEORIES)


def test_the_page_is_that_of_the_studies():
    made = gallery()
    assert made.PAGE.read_text(encoding="utf-8") == made.page()
    assert {path.stem for path in made.FIGURES.glob("*.png")} == {path.stem for path in made.STUDIES.glob("*.toml")}
