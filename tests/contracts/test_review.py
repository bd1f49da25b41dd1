"""The review command from outside: what it prints, writes, survives and leaves behind."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contracts.conftest import Command, Reviewed, family

Sample = Callable[[str], bytes]
LETTER, FREIGHT, NDA = "confidentiality-letter.txt", "freight-services.md", "hostile-mutual-nda.docx"
SSN, MAIL = "536-90-4399", "zebedee.quillfeather@example.org"
SPENT = {"id", "cost_usd", "input_tokens", "output_tokens", "seconds", "guard_seconds", "queue_seconds"}


@pytest.fixture
def folder(tmp_path: Path, sample: Sample) -> Path:
    """A folder with three contracts, one of them with personal data of its own."""
    made = tmp_path / "in"
    made.mkdir()
    marked = sample(LETTER).decode() + f"\n\nNotices go to {MAIL}; the signatory's SSN is {SSN}.\n"
    (made / LETTER).write_text(marked, encoding="utf-8")
    for name in (FREIGHT, NDA):
        (made / name).write_bytes(sample(name))
    return made


def transactions(done: Reviewed) -> dict[str, str]:
    return {name: row["transaction"]["id"] for name, row in done.rows.items() if row["status"] == "reviewed"}


def ledger_rows(out: Path) -> int:
    with contextlib.closing(sqlite3.connect(out / ".seawall" / "ledger.db")) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        assert tables
        return sum(database.execute(f'select count(*) from "{table}"').fetchone()[0] for table in tables)


def spans_of(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for answer in (*row["findings"], *row["nda"], *row["alerts"], *row["playbook"]["rules"]):
        yield from answer["spans"]


def assert_row_keeps_its_promises(row: dict[str, Any], out: Path) -> None:
    text = (out / "text" / f"{row['sha256']}.txt").read_bytes().decode()
    assert (row["status"], row["error"]) == ("reviewed", None)
    assert [span for span in spans_of(row) if span["quote"] != text[span["start"] : span["end"]]] == []
    for finding in row["findings"]:
        assert set(finding) >= {"clause", "present", "score", "abstained", "spans"}
        assert 0 <= finding["score"] <= 1
        assert len(finding["spans"]) >= 3
    assert len(row["findings"]) >= 13
    assert set(row) >= {"document_type", "parties", "governing_law", "playbook", "risk", "route"}
    assert set(row["transaction"]) >= {*SPENT, "model_seconds", "verdicts", "degradation"}
    assert row["transaction"]["cost_usd"] == 0
    assert row["transaction"]["degradation"] == "full"


def test_results_and_state(command: Command, folder: Path) -> None:
    """Rows and `run.json` keep their interface, `--quiet` is silent, and what is kept inside holds no personal data."""
    done = command.review(folder, "--quiet", "--playbook", "nda")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert [Path(row["file"]).name for row in done.lines] == [LETTER, FREIGHT, NDA]
    for row in done.lines:
        assert_row_keeps_its_promises(row, command.out)
        assert row["playbook"]["name"] == "nda"
        assert [set(answer) >= {"id", "label", "score", "spans"} for answer in row["nda"]] == [True] * 17
    run = done.run
    assert (run["contracts"], run["reviewed"], run["failed"], run["resumed"], run["cost_usd"]) == (
        3,
        3,
        0,
        0,
        0,
    )
    for name in ("seconds", "contracts_per_second", "peak_rss_mb", "tokens_sent", "tokens_whole_documents"):
        assert run[name] > 0, name
    assert_no_personal_data(command.out / ".seawall", MAIL, SSN, "Theodora", "Maunsell")


def assert_no_personal_data(state: Path, *markers: str) -> None:
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        data = path.read_bytes()
        for marker in markers:
            for form in (marker.encode(), marker.encode("utf-16-le"), marker.encode().hex().encode()):
                assert form not in data, f"{path.name} holds {marker}"


def test_resume_fresh_and_other_work(command: Command, folder: Path) -> None:
    """What was reviewed is not reviewed again, unless the playbook is another or all is to start over."""
    first = command.review(folder, "--quiet")
    known, lines = transactions(first), first.lines
    count = ledger_rows(command.out)
    again = command.review(folder, "--quiet")
    assert (first.code, again.code) == (0, 0)
    assert transactions(again) == known
    assert (again.run["resumed"], again.run["reviewed"]) == (3, 3)
    assert ledger_rows(command.out) == count
    assert again.run["peak_rss_mb"] > 0
    assert again.lines == lines
    other = command.review(folder, "--quiet", "--playbook", "msa")
    assert (other.code, other.run["resumed"]) == (0, 0)
    assert not set(transactions(other).values()) & set(known.values())
    fresh = command.review(folder, "--quiet", "--fresh")
    assert (fresh.code, fresh.run["resumed"]) == (0, 0)
    assert not set(transactions(fresh).values()) & set(known.values())


def plant_bad_files(folder: Path, sample: Sample) -> dict[str, str]:
    """Write one of every kind of bad file; name to a word of its row's error."""
    (folder / "empty.txt").touch()
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "broken.docx").write_bytes(sample(NDA)[:2000])
    (folder / "broken.pdf").write_bytes(sample("nda-acquisition.pdf")[:1500])
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(300 * 2**20)
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "nowhere.txt").symlink_to(folder / "missing.txt")
    return {
        "empty.txt": "empty",
        "binary.txt": "not text",
        "broken.docx": "Word",
        "broken.pdf": "pdf",
        "huge.txt": "MB",
        "loop.txt": "link",
        "nowhere.txt": "link",
    }


def test_bad_files_have_their_rows(command: Command, folder: Path, sample: Sample) -> None:
    """Each file that cannot be reviewed has one row which says why; the others are reviewed."""
    bad = plant_bad_files(folder, sample)
    (folder / "latin-1.txt").write_bytes(
        sample(LETTER).decode().replace("Cambridge", "Orléans").encode("latin-1")
    )
    bad["latin-1.txt"] = "UTF-8"
    odd = "new\nline \N{ROCKET} [red].txt"
    (folder / odd).write_bytes(sample(FREIGHT) + b"\nVariant.\n")
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    done = command.review(folder)
    assert done.code == 3
    assert len(done.lines) == len(done.rows) == 3 + 1 + len(bad)
    failed = {name: row["error"] for name, row in done.rows.items() if row["status"] == "failed"}
    assert set(failed) == set(bad)
    for name, word in bad.items():
        assert word.lower() in failed[name].lower(), failed[name]
        assert "\n" not in failed[name]
        assert str(folder) not in failed[name]
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert done.rows[odd]["status"] == "reviewed"
    assert (done.run["reviewed"], done.run["failed"]) == (4, len(bad))


def test_duplicates_are_reviewed_once(command: Command, folder: Path, sample: Sample) -> None:
    """Files of one content have a row each, from one review which is paid for once."""
    (folder / "copy.txt").write_bytes((folder / LETTER).read_bytes())
    done = command.review(folder, "--quiet")
    one, two = done.rows[LETTER], done.rows["copy.txt"]
    assert done.code == 0
    assert (len(done.lines), done.run["reviewed"]) == (4, 4)
    assert one["transaction"]["id"] == two["transaction"]["id"]
    assert sorted([one["duplicate_of"] is None, two["duplicate_of"] is None]) == [False, True]
    assert len(set(transactions(done).values())) == ledger_rows(command.out) == 3


def test_results_among_the_contracts(command: Command, folder: Path) -> None:
    """A folder reviewed into itself has the same contracts the second time: what was written is not reviewed."""
    arguments = ("review", folder, "--out", folder, "--quiet", "--workers", "1")
    first = command.wait(command.start(*arguments), out=folder)
    assert (first.code, len(first.lines)) == (0, 3)
    again = command.wait(command.start(*arguments), out=folder)
    assert (again.code, len(again.lines), again.run["resumed"]) == (0, 3, 3)


BROKEN_PLAYBOOK = 'name = "mine"\nversion = "1"\n\n[[rules]]\nid = "x"\nseverity = "enormous"\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing.txt", "--playbook", "mine.toml"), "mine.toml, line 4:"),
        (("missing.txt", "--playbook", "absent.toml"), "absent.toml"),
        (("missing.txt", "--model", "no-such-provider:x"), "no-such-provider"),
        (("missing.txt", "--model", "huggingface:x"), "huggingface"),
        (("missing.txt", "--out", "mine.toml"), "--out"),
        (("missing.txt", "--retention", "soon"), "soon"),
        (("missing.txt", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_usage(command: Command, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """Wrong usage is status 2 and a message that names it, without a traceback."""
    (tmp_path / "mine.toml").write_text(BROKEN_PLAYBOOK)
    done = command.review(*arguments)
    assert (done.code, said in done.stderr.replace("\n", "")) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_master_key_errors_say_what_to_do(command: Command, folder: Path) -> None:
    """A malformed key, and a key that is not the one the state was written with, are told apart from a crash."""
    short = command.review(folder, "--quiet", env={"SEAWALL_MASTER_KEY": "abc"})
    assert (short.code, "64 digits" in short.stderr, "abc" in short.stderr) == (2, True, False), short.stderr
    assert command.review(folder, "--quiet").code == 0
    other = command.review(folder, "--quiet", env={"SEAWALL_MASTER_KEY": "5f" * 32})
    assert (other.code, "key" in other.stderr, "Traceback" in other.stderr) == (2, True, False), other.stderr


@pytest.mark.parametrize("fresh", [False, True], ids=["resumed", "fresh"])
def test_two_runs_on_one_folder(command: Command, folder: Path, tmp_path: Path, fresh: bool) -> None:
    """A second run on the same results, at the same time, is refused in words and harms nothing, also a fresh one."""
    many(tmp_path / "many", folder, 20)
    running = command.start("review", tmp_path / "many", "--out", command.out, "--workers", "1", "--quiet")
    wait_for_rows(running, command.out, 1)
    os.kill(running.pid, signal.SIGSTOP)
    second = command.review(folder, "--quiet", *(["--fresh"] if fresh else []))
    os.kill(running.pid, signal.SIGCONT)
    assert (second.code, "Traceback" in second.stderr) == (2, False), second.stderr
    first = command.wait(running)
    assert (first.code, len(first.lines), first.run["reviewed"]) == (0, 20, 20), first.stderr


def many(folder: Path, source: Path, count: int) -> None:
    folder.mkdir()
    text = (source / FREIGHT).read_text(encoding="utf-8")
    for number in range(count):
        (folder / f"{number:03}.txt").write_text(f"Contract No. {number}\n\n{text}", encoding="utf-8")


def wait_for_rows(process: subprocess.Popen[str], out: Path, wanted: int) -> None:
    patience = time.monotonic() + 60
    results = out / "results.jsonl"
    while process.poll() is None and (not results.exists() or results.read_bytes().count(b"\n") < wanted):
        assert time.monotonic() < patience, "the review makes no progress"
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be disturbed"


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Wait for processes to end; returns those that did not."""
    patience = time.monotonic() + 10
    while time.monotonic() < patience:
        left = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return []
        time.sleep(0.05)
    return processes


def test_killed_interrupted_and_resumed(command: Command, folder: Path, tmp_path: Path) -> None:
    """After kill -9 and after Ctrl-C the next run goes on; no process is left, and none ever listens."""
    many(tmp_path / "many", folder, 50)
    arguments = ("review", tmp_path / "many", "--out", command.out, "--workers", "2")
    killed = command.start(*arguments)
    wait_for_rows(killed, command.out, 3)
    processes = [psutil.Process(killed.pid), *family(killed.pid)]
    assert len(processes) >= 3
    listening = [
        c for one in processes for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert listening == []
    os.kill(killed.pid, signal.SIGKILL)
    known = transactions(command.wait(killed))
    assert gone(processes[1:]) == []
    interrupted = command.start(*arguments)
    wait_for_rows(interrupted, command.out, len(known) + 3)
    os.killpg(interrupted.pid, signal.SIGINT)
    stopped = command.wait(interrupted)
    assert (stopped.code, "Traceback" in stopped.stderr) == (130, False), stopped.stderr
    assert stopped.run["interrupted"]
    assert gone(family(interrupted.pid)) == []
    before = transactions(stopped)
    assert before.items() >= known.items()
    last = command.wait(command.start(*arguments))
    assert (last.code, len(last.lines), last.run["failed"]) == (0, 50, 0), last.stderr
    assert last.run["resumed"] >= len(before)
    assert transactions(last).items() >= before.items()
    assert len(set(transactions(last).values())) == 50
