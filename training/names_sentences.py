"""Sentences to learn names from: our own, those of the labelled half that is learnt from, and passages of contracts.

Names in them are drawn anew each time, so that contexts are learnt and not the few names that happened to stand in them.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.names_lists import PEOPLES, Culture, Sources

Labelled = tuple[str, list[tuple[int, int, str]]]
_SLOT = re.compile(r"\{([A-Z]+)\}")
_KINDS = {"FULL": "PERSON", "FIRST": "PERSON", "LAST": "PERSON", "ORG": "ORGANIZATION", "GPE": "GPE", "COUNTRY": "GPE",
    "NRP": "NRP", "STREET": "STREET_ADDRESS", "ZIP": "ZIP_CODE"}  # fmt: skip

OWN = (Path(__file__).with_name("names_own.txt")).read_text("utf-8").splitlines()

_ENDINGS = ("Inc", "Inc.", "LLC", "Ltd", "Ltd.", "PLC", "Group", "Corp.", "Corporation", "and Sons", "Company", "Incorporated",
    "GmbH", "S.A.", "AG", "Holdings", "Partners", "Associates", "& Co.")  # fmt: skip
_FRONT = """
    Acc Alt Bio Blu Cal Clear Cloud Crowd Data Eco Ever Geo Health Info Inno Intel Iron Lumi Map Med Met Net Nova Omni
    Open Opti Pay Pro Quant Rally Sage Smart Solar Spot Stat Tele Trans Tru Uni Urban Veri Vita Zen Zip
"""
_BACK = """
    able ably acity ance base bit bridge cast center core craft den dera desk dex ella eon era ety fax flow forge front
    gate gen grid hub ify igo ima ion ive ix lab lend lens link list logic loop lytics mark mate metrics mine nest net
    ology onomy path pedia point port pulse quest ra scape set sight smith source span spire stack star stream sync tech
    tera tics track vault verse vest via ware wave well wise works zio zy
"""
_WORDS = """
    Advanced Allied American Analytics Applied Atlantic Audit Bank Berkeley Boston Business Capital Care Central City
    Civic Climate Cloud Collective Community Computing Consumer Credit Data Design Development Digital Direct Dynamics
    Economic Education Energy Engineering Enterprise Environmental Exchange Federal Financial First Foundation Fund
    Future General Global Golden Green Growth Health Home House Housing Ideas Impact Information Innovation Insight
    Institute Insurance Intelligence International Journal Knowledge Labs Legal Life Light Market Media Medical Metro
    Mobile Modern National Network New Northern Open Pacific Partners Planet Policy Power Premier Progress Project
    Property Public Quality Quantum Rapid Real Research Resource Risk River Safety Science Security Services Signal
    Smart Social Software Solar Solutions Southern Sports Standard State Street Strategic Summit Sun Systems Tech
    Technologies Telecom Transit Transport Trust Union United Urban Ventures Virtual Vision Water Weather Web Western
    Wireless World
"""
_PEOPLE = ("A B", "A B", "A B", "A M. B", "A M B", "A B C")
_ZIPS = ("#####", "####", "#####-####", "###-####", "### ##", "######", "###", "##-###")
_CLUB = ("Suite", "Apt.", "Unit", "Room", "Floor")
_STREETS = ("{} Street", "{} St", "{} Road", "{} Avenue", "{} Lane", "{} Drive", "{} Terrace", "Rue {}", "Rue de {}", "Via {}", "Rua {}", "Avenida {}", "Calle {}", "{}straße", "{}strasse", "{}gasse", "{} Weg", "{}straat", "{}laan", "{}gade", "{}vej", "{}gatan", "{}vägen", "{}gata", "{}katu", "{}tie", "{} u.", "{} utca", "ul. {}", "{} tee", "{}gata", "Rúa {}", "{}ova", "{} Crescent", "{} Boulevard", "{} Park", "{}", "{}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filler:
    """Draws names; the same random numbers give the same names."""

    sources: Sources
    draw: random.Random

    def value(self, slot: str, old: str = "") -> str:
        """Draw a value for a slot, of the form of the old one where there is one; the old one where it is of no kind of ours."""
        match slot:
            case "PERSON" | "FULL":
                return self._person(old or self.draw.choice(_PEOPLE))
            case "FIRST":
                return self._name(self._culture().first)
            case "LAST":
                return self._name(self._culture().last)
            case "ORG" | "ORGANIZATION":
                return self._organisation()
            case "GPE" | "COUNTRY":
                return self._place(
                    country=slot == "COUNTRY" or old in self.sources.countries, capitals=old.isupper()
                )
            case "NRP":
                return self.draw.choice(PEOPLES.split()) + ("s" if old.endswith("s") else "")
            case "ZIP" | "ZIP_CODE":
                return self._digits(old or self.draw.choice(_ZIPS))
            case "STREET" | "STREET_ADDRESS":
                return self._changed(old) if old and self.draw.random() < 0.6 else self._street(old)
        return old

    def _place(self, *, country: bool, capitals: bool) -> str:
        draw = self.draw
        if country:
            return draw.choice(self.sources.countries)
        coined = self._name(self._culture().last) + draw.choice(("", "ville", "burg", "ton", " Village"))
        place = draw.choice(self.sources.places) if draw.random() < 0.8 else coined
        return place.upper() if capitals or draw.random() < 0.1 else place

    def _culture(self) -> Culture:
        return self.draw.choice(self.sources.cultures)

    def _name(self, names: Sequence[str]) -> str:
        return self.draw.choice(names)

    def _person(self, old: str) -> str:
        words = old.split()
        culture = self._culture()
        if len(words) < 2:
            name = self._name(culture.first if self.draw.random() < 0.55 else culture.last)
        else:
            middle = [
                self._name(culture.first)[0] + ("." if word.endswith(".") else "")
                if len(word.strip(".")) == 1
                else self._name(culture.first)
                for word in words[1:-1]
            ]
            name = " ".join((self._name(culture.first), *middle, self._name(culture.last)))
        return name.upper() if self.draw.random() < 0.03 else name

    def _organisation(self) -> str:
        draw = self.draw
        last = [self._name(self._culture().last) for _ in range(3)]
        coined = draw.choice(_FRONT.split()) + draw.choice(_BACK.split())
        form = draw.randrange(11)
        if form == 0:
            return f"{last[0]}-{last[1]}"
        if form == 1:
            return f"{last[0]}, {last[1]} and {last[2]}"
        if form == 2:
            return f"{last[0]} {draw.choice(_ENDINGS)}"
        if form == 3:
            return f"{coined} {draw.choice(_ENDINGS)}"
        if form in {4, 5}:
            return coined
        if form == 6:
            return (
                f"{draw.choice(_WORDS.split())} {draw.choice(_WORDS.split())} {draw.choice(_WORDS.split())}"
            )
        if form == 7:
            return f"{coined} {draw.choice(_WORDS.split())}"
        if form == 8:
            return f"{draw.choice(_WORDS.split())} {draw.choice(_WORDS.split())} {draw.choice(_ENDINGS)}"
        if form == 9:
            return f"{last[0]} {draw.choice(_WORDS.split())}"
        return f"{draw.choice(_WORDS.split())} {draw.choice(_WORDS.split())}"

    def _digits(self, pattern: str) -> str:
        return re.sub(r"[#\d]", lambda _: str(self.draw.randrange(10)), pattern)

    def _changed(self, old: str) -> str:
        def word(match: re.Match[str]) -> str:
            if self.draw.random() < 0.5:
                return match.group()
            name = (
                self._name(self._culture().last)
                if self.draw.random() < 0.5
                else self.draw.choice(self.sources.places)
            )
            return name.split()[0] + ("" if self.draw.random() < 0.5 else match.group()[-5:].lower())

        keep = re.search(r"\b(PSC|APO|FPO|DPO|Unit|US[NC]|Box)", old)
        new = old if keep else re.sub(r"(?<![\w.])[^\W\d_]{6,}(?![\w.])", word, old)
        return self._digits(new)

    def _street(self, old: str) -> str:
        draw = self.draw
        if old and not re.search(r"[^\W\d_]", old):
            return self._digits(old)
        if re.fullmatch(r"(?:Apt\.|Suite) \d+", old):
            return f"{draw.choice(_CLUB)} {draw.randrange(1, 999)}"
        name = self._name(self._culture().last) if draw.random() < 0.6 else draw.choice(self.sources.places)
        street = draw.choice(_STREETS).format(name)
        number = draw.randrange(1, 400)
        line = f"{number} {street}" if draw.random() < 0.4 else f"{street} {number}"
        if old.count(" ") < 4 and draw.random() < 0.7:
            return line
        comma = draw.choice((" ", ", ", "\n ", "\n"))
        if draw.random() < 0.6:
            line = f"{line} {draw.choice(_CLUB)} {draw.randrange(1, 999)}"
        if draw.random() < 0.5:
            line = f"{draw.randrange(1, 99999)} {line}"
        return (
            line
            + comma
            + draw.choice(self.sources.places)
            + draw.choice(
                ("", f"{comma}{draw.choice(self.sources.countries)}", f" {draw.randrange(1000, 99999)}")
            )
        )


def fill_own(filler: Filler, template: str) -> Labelled:
    """Fill one of our own sentences."""
    parts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    at = length = 0
    template = template.replace("\\n", "\n")
    for slot in _SLOT.finditer(template):
        value = filler.value(slot.group(1))
        parts += (template[at : slot.start()], value)
        start = length + slot.start() - at
        length = start + len(value)
        spans.append((start, length, _KINDS[slot.group(1)]))
        at = slot.end()
    return "".join((*parts, template[at:])), spans


def refill(filler: Filler, sentence: Labelled) -> Labelled:
    """Fill a labelled sentence with other names of the same kinds, the same for the same."""
    text, spans = sentence
    parts: list[str] = []
    new: list[tuple[int, int, str]] = []
    chosen: dict[tuple[str, str], str] = {}
    at = length = 0
    for start, end, kind in sorted(spans):
        old = text[start:end]
        value = chosen.setdefault((kind, old), filler.value(kind, old))
        parts += (text[at:start], value)
        length += start - at
        new.append((length, length + len(value), kind))
        length += len(value)
        at = end
    return "".join((*parts, text[at:])), new


def in_other_case(draw: random.Random, sentence: Labelled) -> Labelled:
    """Write a sentence in small letters, now and then, or in capitals, hardly ever, if that keeps its length."""
    text, spans = sentence
    chance = draw.random()
    other = text.lower() if chance < 0.08 else text.upper() if chance < 0.09 else text
    return (other if len(other) == len(text) else text), spans


def without_overlaps(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Keep of spans that overlap the first."""
    kept: list[tuple[int, int, str]] = []
    for span in sorted(spans):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept
