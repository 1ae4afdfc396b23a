"""Renders every study in examples/ and writes docs/gallery.md: all figures, with the study file beside each.

    python docs/make_gallery.py [NAME ...]

With names, only these studies are run; the page is always written anew.  All of them take two minutes.
"""

import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from asymptotics.cli import main as command
from asymptotics.theories import THEORIES

ROOT = Path(__file__).parents[1]
STUDIES, FIGURES, PAGE = ROOT / "examples", ROOT / "docs" / "gallery", ROOT / "docs" / "gallery.md"

HEAD = """# Gallery

Every figure here was made by the study file below it: `asymptotics run examples/NAME.toml`; all of them by
`python docs/make_gallery.py`. [studies.md](studies.md) says what such a file may contain.
"""


def main(names: list[str]) -> int:
    """Render studies and write the page; the exit code is that of the first study that fails."""
    FIGURES.mkdir(exist_ok=True)
    for path in sorted(STUDIES.glob("*.toml")):
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as output:
            code = command(["run", str(path), "--output-dir", output])
            if code:
                return code
            shutil.copyfile(Path(output) / figure_of(path), FIGURES / f"{path.stem}.png")
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def figure_of(path: Path) -> str:
    """The first figure that a study makes."""
    plot = tomllib.loads(path.read_text(encoding="utf-8"))["output"]["plot"]
    return plot if isinstance(plot, str) else plot[0]


def page() -> str:
    """The page: by theory, in the order of the library."""
    order = list(THEORIES)
    studies = sorted(STUDIES.glob("*.toml"), key=lambda path: (order.index(theory_of(path)), path.name))
    return HEAD + "".join(entry(path) for path in studies)


def theory_of(path: Path) -> str:
    return tomllib.loads(path.read_text(encoding="utf-8"))["theory"]


def entry(path: Path) -> str:
    """The question as a heading, the figure, and the file."""
    text = path.read_text(encoding="utf-8")
    question = text.splitlines()[0].removeprefix("# ")
    return (f"\n## {question}\n\n`{theory_of(path)}`: [examples/{path.name}](../examples/{path.name})\n\n"
            f"![{path.stem}](gallery/{path.stem}.png)\n\n```toml\n{text.rstrip()}\n```\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
