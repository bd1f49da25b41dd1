"""Whether letters read as English: words that attacks and plain English cannot do without."""

import re


class TooMany(Exception):
    """A text holds more disguises of one kind than are peeled."""


# Of three letters and more: shorter ones turn up by chance in anything.
_TELLING = (
    "the this that your you not all any and with from must shall should will have mark risk rules "
    "ignore ignored disregard forget override bypass previous prior above earlier instruction instructions prompt "
    "prompts system message messages guidelines contract agreement document clause section answer response respond "
    "output reply write print reveal repeat show send report summary approve approved compliant reviewer assistant "
    "model state following secret password hidden safety issues found only never always please tell translate"
)
_MORE = (
    "about after again also are because been before but can could did does each every few for get had has her him "
    "his how into its just let like made make may more most new now off one other our out over own per said same "
    "say see she some such than their them then there these they those through under until very was were what when "
    "where which who why would dear note act actual add admin analysis anything artificial assign bank begin call "
    "code command company confidential consider data delete describe developer directive disable do email end "
    "everything execute explain file final first follow free give good hello help however human immediately include "
    "information jailbreak initial inform instead intelligence keep key language large law legal list long low mention mode "
    "name need next nothing number obey open party payment person policy pretend provide question rate read "
    "recommend restrictions return review rule run safe score sentence set skip start stop supplier supply task "
    "terms text training true unless use user users using vendor violation want without word words work yes"
)
TELLING = _TELLING.split()
COMMON = frozenset(TELLING + _MORE.split())
_WORD = re.compile(r"[A-Za-z]{3,}")


def common_words(text: str) -> int:
    """Count the words of a text, of three letters and more, that are common; case makes no difference."""
    return sum(map(COMMON.__contains__, _WORD.findall(text.lower())))
