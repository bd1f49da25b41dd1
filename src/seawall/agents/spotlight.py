"""Untrusted text in a prompt, marked so that it cannot pass for the prompt.

Spotlighting by delimiting (Hines et al., "Defending Against Indirect Prompt Injection Attacks With
Spotlighting", 2024), with a delimiter that the text cannot contain.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Plain ASCII: typographic marks would make every guard take its slower way through the whole prompt.
_HEADER = re.compile(r"<<([0-9a-f]{12}) (\S+)(?: \| ([^\n]*))?>>")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of untrusted text: an id without blanks, a one-line title, the text itself."""

    id: str
    title: str
    text: str


def fence(blocks: Sequence[Block]) -> str:
    """Write the blocks one after the other, each between marks that occur nowhere in any of them.

    The mark is derived from the blocks, so the same blocks give the same prompt. It tells a model where
    untrusted text begins and ends; it does not make a model obey that.
    """
    mark = _mark(blocks)
    parts = [
        f"<<{mark} {block.id} | {_one_line(block.title)}>>\n{block.text}\n<<{mark} end>>" for block in blocks
    ]
    return "\n\n".join(parts)


def unfence(prompt: str) -> list[Block]:
    """Read back what `fence` wrote, wherever in the prompt it stands; [] where there is none.

    The first mark in the prompt is the mark: text inside a block cannot open or close a block of its own.
    """
    first = _HEADER.search(prompt)
    if first is None:
        return []
    mark = first.group(1)
    end = f"\n<<{mark} end>>"
    blocks: list[Block] = []
    found: re.Match[str] | None = first
    while found is not None:
        close = prompt.find(end, found.end())
        if close < 0:
            break
        if found.group(1) == mark and found.group(2) != "end":
            blocks.append(Block(found.group(2), found.group(3) or "", prompt[found.end() + 1 : close]))
        found = _HEADER.search(prompt, close + len(end))
    return blocks


def _mark(blocks: Sequence[Block]) -> str:
    seed = "\0".join(f"{block.id}\0{block.title}\0{block.text}" for block in blocks)
    mark = hashlib.blake2b(seed.encode(errors="surrogatepass"), digest_size=6).hexdigest()
    while mark in seed:
        mark = hashlib.blake2b(mark.encode(), digest_size=6).hexdigest()
    return mark


def _one_line(title: str) -> str:
    return " ".join(title.replace("<<", " ").replace(">>", " ").split())
