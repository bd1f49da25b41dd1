"""The rules of the house that no linter knows: sizes, names, docstrings of tests, paths that documents mention."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BANNED = ("Manager", "Handler", "Helper", "Util", "Utils", "Service", "Processor", "Impl")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
REGISTRIES = re.compile(
    "py" + r"pi\.org|python" + r"hosted\.org|registry\.npm" + r"js|deb\.de" + r"bian\.org"
)
PAGES = sorted(page for page in ROOT.rglob("*.md") if not {".venv", "out", "node_modules"} & set(page.parts))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize(("paths", "limit"), [(SOURCES, 400), (TESTS, 600)], ids=["src", "tests"])
def test_files_are_small(paths: list[Path], limit: int) -> None:
    """A source file has at most 400 lines, a test file 600."""
    long = {str(p.relative_to(ROOT)): n for p in paths if (n := len(p.read_text().splitlines())) > limit}
    assert not long


def test_functions_are_small() -> None:
    """A function has at most 50 lines, its docstring not counted."""
    long: list[str] = []
    for path in SOURCES:
        for function in functions(path):
            documented = ast.get_docstring(function) is not None
            first = function.body[1] if documented and len(function.body) > 1 else function.body[0]
            if (function.end_lineno or 0) - first.lineno >= 50:
                long.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name}")
    assert not long


def test_classes_are_named_for_what_they_are() -> None:
    """No class is a Manager, a Helper or the like."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED)
    ]
    assert not found


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in TESTS
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert not silent


def test_links_lead_somewhere() -> None:
    """Every relative link in a document names a file that exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken


def test_readmes_are_short() -> None:
    """The front page has at most 150 lines, AGENTS.md 100, a tier's README 40."""
    limits = {ROOT / "README.md": 150, ROOT / "AGENTS.md": 100}
    limits |= dict.fromkeys((ROOT / "src").rglob("README.md"), 40)
    assert not {
        str(p.relative_to(ROOT)): n
        for p, limit in limits.items()
        if (n := len(p.read_text().splitlines())) > limit
    }


def test_no_registry_is_named() -> None:
    """No file names a package registry's host."""
    files = [
        p
        for p in ROOT.rglob("*")
        if p.is_file() and not {".venv", ".git", "out", ".hypothesis"} & set(p.parts)
    ]
    named = [
        str(p.relative_to(ROOT))
        for p in files
        if p.suffix in {".py", ".md", ".toml", ".txt", ""} and REGISTRIES.search(p.read_text(errors="ignore"))
    ]
    assert not named


def test_weights_stay_small() -> None:
    """The local reviewer's weights have at most 15 MB, and nothing in them is pickled."""
    weights = sorted((ROOT / "src/seawall_contracts/finder/weights").iterdir())
    assert weights
    assert {path.suffix for path in weights} <= {".npz", ".json"}
    assert sum(path.stat().st_size for path in weights) <= 15_000_000
