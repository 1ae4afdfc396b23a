"""The Python code of the front page and of the pages of the theories runs as it stands."""

import re
from pathlib import Path

import pytest

from asymptotics import THEORIES

ROOT = Path(__file__).parents[1]
PAGES: dict[str, tuple[str, ...]] = {
    "README.md": (),
    "docs/studies.md": (),
    "docs/theories/giant_step.md": (),
    "docs/theories/polynomial_spikes.md": ("polynomial-spikes",),
    "docs/theories/linear_network.md": ("linear-network",),
    "docs/theories/linear_network_inputs.md": ("linear-network-inputs", "balanced-linear-network"),
    "docs/theories/linear_network_ensemble.md": ("linear-network-ensemble",),
    "docs/theories/linear_network_descent.md": ("linear-network-descent",),
    "docs/theories/linear_network_curriculum.md": ("linear-network-curriculum",),
    "docs/theories/linear_network_decay.md": ("linear-network-decay",),
    "docs/theories/linear_network_loss.md": ("linear-network-loss",),
    "docs/theories/linear_network_power.md": ("power-network",),
    "docs/theories/structured_features.md": ("feature-ridge", "rainbow-network"),
}


@pytest.mark.parametrize("page", PAGES)
def test_the_code_runs(page, tmp_path, monkeypatch):
    missing = [slug for slug in PAGES[page] if slug not in THEORIES]
    if missing:
        pytest.skip(f"{', '.join(missing)} cannot be asked yet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)


EVERY_PAGE = ["README.md", *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_links_lead_somewhere(page):
    """Also that no formula outside of an indented block, such as E[a](b), is taken for a link."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("    "))
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / target).exists(), target
