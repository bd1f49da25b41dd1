"""Every Python block of the documentation runs as it stands; blocks of one page share their names, top to bottom."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = ("docs", "src", "examples", "chaos", "benchmarks", "training")
PAGES = sorted({*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))})


@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCK.search(p.read_text())], ids=lambda p: str(p.relative_to(ROOT))
)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who pastes the page's code gets what the page says."""
    monkeypatch.chdir(tmp_path)
    # A page's script sees no arguments, whatever this test was begun with.
    monkeypatch.setattr(sys, "argv", [page.name])
    names: dict[str, object] = {"__name__": "docs"}
    text = page.read_text()
    for block in BLOCK.finditer(text):
        # Blank lines before the code keep line numbers of a failure those of the page.
        code = "\n" * (text[: block.start()].count("\n") + 1) + block.group(1)
        exec(compile(code, page, "exec"), names)
