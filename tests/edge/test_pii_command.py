"""`seawall pii`: one line of spans for each line of text, or one line that says why not and no file."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from seawall.edge.pii_command import pii

app = typer.Typer()
app.command("pii")(pii)


def run(tmp_path: Path, source: str | bytes, *more: str) -> tuple[int, str, Path]:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(source if isinstance(source, bytes) else source.encode())
    result = CliRunner().invoke(app, ["--in", str(given), "--out", str(out), *more])
    return result.exit_code, result.output, out


def test_spans_come_in_the_order_of_the_texts(tmp_path: Path) -> None:
    """Each text's spans stand under its id, with offsets in characters; blank lines are passed over."""
    texts = [
        ("b", "é: write to jane@example.com"),
        (7, "nothing here"),
        ("b", "My name is Ingeborg Sørensen."),
    ]
    lines = "\n\n".join(json.dumps({"id": id_, "text": text}) for id_, text in texts)
    code, output, out = run(tmp_path, lines)
    assert (code, output) == (0, "")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["b", 7, "b"]
    assert rows[0]["spans"] == [{"type": "EMAIL_ADDRESS", "start": 12, "end": 28}]
    assert rows[1]["spans"] == []
    assert rows[2]["spans"] == [{"type": "PERSON", "start": 11, "end": 28}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_cautious_finds_what_contracts_are_read_with(tmp_path: Path) -> None:
    """With --cautious a name without a cue is not found."""
    code, _, out = run(tmp_path, '{"id": 1, "text": "My name is Ingeborg Lund."}', "--cautious")
    assert code == 0
    assert json.loads(out.read_text()) == {"id": 1, "spans": []}


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": 1, "text": ',
        b"[1]",
        b'{"text": "secret"}',
        b'{"id": 1}',
        b'{"id": 1, "text": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(tmp_path: Path, line: bytes) -> None:
    """The error says which line, shows none of it, and leaves what was there before."""
    (tmp_path / "out.jsonl").write_text("before")
    code, output, out = run(tmp_path, b'{"id": 1, "text": "a"}\n\n' + line + b"\n")
    assert code == 2
    assert "line 3" in output
    assert "secret" not in output
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """What cannot be written is said in one line."""
    given = tmp_path / "in.jsonl"
    given.write_text('{"id": 1, "text": "a"}\n')
    result = CliRunner().invoke(app, ["--in", str(given), "--out", str(tmp_path / "no" / "out.jsonl")])
    assert result.exit_code == 2
    assert "check --in and --out" in result.output
