"""The facts of the atlas: what Unicode CLDR, as Babel ships it, says about territories, cities and languages.

A fact is a relation between a subject and its value, both as CLDR codes: names come later, one set per
language (`names`). Only the tables of regions and of names that are no cities are written here,
since Babel leaves them out; the regions are those of UN M49, which CLDR adopts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from babel import Locale, UnknownLocaleError
from babel.core import get_global


@dataclass(frozen=True, slots=True)
class Fact:
    """One relation of one subject, in codes."""

    relation: str
    subject_kind: str
    """territory, city or language."""
    subject: str
    """ISO 3166 code, time-zone identifier or language subtag."""
    value_kind: str
    """territory, currency, language, region, zone, weekday, script, word or year."""
    values: tuple[str, ...]
    example: str = ""
    """A number, date or time of day written in the manner stated, in ASCII."""
    continent: str = ""
    """UN M49 code of the continent, of region facts."""

    @property
    def id(self) -> str:
        """Relation and subject, as in currency/CH."""
        return f"{self.relation}/{self.subject}"


REGIONS = {
    "005": "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
    "011": "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG",
    "013": "BZ CR GT HN MX NI PA SV",
    "014": "BI DJ ER ET KE KM MG MU MW MZ RE RW SC SO SS TZ UG YT ZM ZW",
    "015": "DZ EG EH LY MA SD TN",
    "017": "AO CD CF CG CM GA GQ ST TD",
    "018": "BW LS NA SZ ZA",
    "021": "BM CA GL PM US",
    "029": "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI",
    "030": "CN HK JP KP KR MN MO TW",
    "034": "AF BD BT IN IR LK MV NP PK",
    "035": "BN ID KH LA MM MY PH SG TH TL VN",
    "039": "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK",
    "053": "AU CC CX NF NZ",
    "054": "FJ NC PG SB VU",
    "057": "FM GU KI MH MP NR PW",
    "061": "AS CK NU PF PN TK TO TV WF WS",
    "143": "KG KZ TJ TM UZ",
    "145": "AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE",
    "151": "BG BY CZ HU MD PL RO RU SK UA",
    "154": "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ",
    "155": "AT BE CH DE FR LI LU MC NL",
}
"""UN M49 subregion -> its inhabited territories."""

CONTINENTS = {
    "002": "011 014 015 017 018",
    "019": "005 013 021 029",
    "142": "030 034 035 143 145",
    "150": "039 151 154 155",
    "009": "053 054 057 061",
}
"""UN M49 continent -> its subregions."""

TERRITORIES = tuple(sorted(" ".join(REGIONS.values()).split()))

MAJORITY = 60.0
"""Per cent of speakers above which a language counts as the one most people speak; closer counts are uncertain."""

_NOT_CITIES = frozenset({
    "America/Antigua", "America/Atikokan", "America/Bahia", "America/Bahia_Banderas", "America/Catamarca",
    "America/Cayman", "America/Jujuy", "America/Lower_Princes", "America/Noronha", "America/St_Kitts",
    "America/St_Thomas", "America/St_Vincent", "America/Tortola", "America/Argentina/Catamarca",
    "America/Argentina/Jujuy", "America/Argentina/Tucuman", "America/Danmarkshavn", "Antarctica/Macquarie",
    "Asia/Hong_Kong", "Asia/Kamchatka", "Asia/Macau", "Asia/Sakhalin", "Atlantic/Azores", "Atlantic/Canary",
    "Atlantic/Faroe", "Atlantic/Madeira", "Australia/Lindeman", "Australia/Lord_Howe", "Europe/Vatican",
    "Indian/Chagos", "Indian/Christmas", "Indian/Cocos", "Indian/Comoro", "Indian/Kerguelen", "Indian/Mahe",
    "Indian/Mayotte", "Pacific/Bougainville", "Pacific/Chatham", "Pacific/Chuuk", "Pacific/Easter", "Pacific/Efate",
    "Pacific/Fakaofo", "Pacific/Galapagos", "Pacific/Gambier", "Pacific/Guadalcanal", "Pacific/Kanton",
    "Pacific/Kiritimati", "Pacific/Kosrae", "Pacific/Kwajalein", "Pacific/Majuro", "Pacific/Marquesas",
    "Pacific/Midway", "Pacific/Norfolk", "Pacific/Pitcairn", "Pacific/Pohnpei", "Pacific/Rarotonga", "Pacific/Saipan",
    "Pacific/Tahiti", "Pacific/Tarawa", "Pacific/Tongatapu", "Pacific/Wake", "Pacific/Wallis", "Asia/Famagusta",
    "Asia/Jerusalem", "Europe/Simferopol",
})  # fmt: skip
"""Time zones named after an island, a region or a station or, in one language, another city; and three disputed."""

_NOT_SPOKEN = frozenset({
    "cop", "cu", "ff", "grc", "gez", "ie", "kaw", "kj", "la", "lad", "man", "nb", "nn", "no", "pa", "prg", "sa", "syr",
    "tmh", "vot", "yi", "zh",
})  # fmt: skip
"""Languages without native speakers, without one homeland, or with several names for one language."""

SCRIPTS = frozenset({
    "Arab", "Armn", "Beng", "Cher", "Cyrl", "Deva", "Ethi", "Geor", "Grek", "Gujr", "Guru", "Hebr", "Khmr", "Knda",
    "Laoo", "Latn", "Mlym", "Mymr", "Orya", "Sinh", "Taml", "Telu", "Tfng", "Thaa", "Tibt",
})  # fmt: skip
"""Scripts whose CLDR name also names them within a sentence."""


@functools.cache
def facts() -> tuple[Fact, ...]:
    """Every fact, in a fixed order."""
    territory_facts = (fact for territory in TERRITORIES for fact in _territory_facts(territory))
    city_facts = (fact for zone in sorted(get_global("zone_territories")) for fact in _city_facts(zone))
    language_facts = (fact for language in sorted(_living_languages()) for fact in _language_facts(language))
    return (*territory_facts, *city_facts, *language_facts)


def _territory_facts(territory: str) -> Iterator[Fact]:
    region = next(code for code, members in REGIONS.items() if territory in members.split())
    continent = next(code for code, regions in CONTINENTS.items() if region in regions.split())
    yield Fact("region", "territory", territory, "region", (region,), continent=continent)
    yield Fact("official", "territory", territory, "language", _official_languages(territory))
    if _main_language_share(territory) >= MAJORITY:
        yield Fact("spoken", "territory", territory, "language", (_spoken_languages(territory)[0],))
    history = get_global("territory_currencies")[territory]
    current = [(code, start[0]) for code, start, end, tender in history if tender and not end]
    if len(current) == 1:
        code, year = current[0]
        yield Fact("currency", "territory", territory, "currency", (code,))
        yield Fact("since", "territory", territory, "year", (str(year),))
    zones = {_meta_zone(zone) for zone in get_global("territory_zones").get(territory, ())}
    if len(zones) == 1 and (zone := zones.pop()):
        yield Fact("zone", "territory", territory, "zone", (zone,))
    yield from _custom_facts(territory)


def _custom_facts(territory: str) -> Iterator[Fact]:
    """Week and notation, as of the locale of the territory's most likely language."""
    try:
        locale = Locale.parse(f"und_{territory}")
    except UnknownLocaleError:
        return
    if locale.territory != territory:
        return
    yield Fact("week", "territory", territory, "weekday", (str(locale.first_week_day),))
    if locale.weekend_start != locale.weekend_end:
        yield Fact("weekend", "territory", territory, "weekday", (str(locale.weekend_start), str(locale.weekend_end)))
    fields = re.sub("'.*?'", "", locale.time_formats["short"].pattern)
    hours = "clock12" if re.search("[hK]", fields) else "clock24"
    yield Fact("clock", "territory", territory, "word", (hours,), example="3:30" if hours == "clock12" else "15:30")
    yield _date_fact(territory, locale.date_formats["short"].pattern)
    if locale.default_numbering_system == "latn":
        mark = locale.number_symbols["latn"]["decimal"]
        word = "comma" if mark == "," else "point"
        yield Fact("decimal", "territory", territory, "word", (word,), example=f"2{mark}5")


def _date_fact(territory: str, pattern: str) -> Fact:
    order = re.sub("[^dMy]", "", re.sub("([dMy])+", r"\1", pattern)).lower()
    separator = next(mark for mark in pattern if mark in "/.-")
    parts = {"d": "31", "m": "12", "y": "1999"}
    example = separator.join(parts[part] for part in order)
    return Fact("date", "territory", territory, "word", (order,), example=example)


def _city_facts(zone: str) -> Iterator[Fact]:
    territory = get_global("zone_territories")[zone]
    if territory not in TERRITORIES or zone in _NOT_CITIES or "/" not in zone:
        return
    yield Fact("city", "city", zone, "territory", (territory,))
    if meta_zone := _meta_zone(zone):
        yield Fact("city_zone", "city", zone, "zone", (meta_zone,))


def _language_facts(language: str) -> Iterator[Fact]:
    _, script, territory = get_global("likely_subtags")[language].split("_")
    if script in SCRIPTS:
        yield Fact("script", "language", language, "script", (script,))
    if language not in (_spoken_languages(territory)[0], *_official_languages(territory)):
        yield Fact("home", "language", language, "territory", (territory,))


def _living_languages() -> Iterator[str]:
    """Languages that people of their most likely territory speak."""
    for language, tag in get_global("likely_subtags").items():
        territory = tag.rpartition("_")[2]
        if territory in TERRITORIES and language in _spoken_languages(territory) and language not in _NOT_SPOKEN:
            yield language


def zone_spellings(zone: str) -> tuple[str, ...]:
    """The identifier and the older ones it replaced, under which CLDR may list the zone."""
    return (zone, *(old for old, new in get_global("zone_aliases").items() if new == zone))


def _meta_zone(zone: str) -> str | None:
    return next(filter(None, map(get_global("meta_zones").get, zone_spellings(zone))), None)


@functools.cache
def _spoken_languages(territory: str) -> tuple[str, ...]:
    """Subtags without script, the language of most people first."""
    return tuple(dict.fromkeys(tag.partition("_")[0] for tag in get_global("territory_languages")[territory]))


def _main_language_share(territory: str) -> float:
    """Per cent of the population that speaks the most widely spoken language, as a first or second one."""
    return float(max(about["population_percent"] for about in get_global("territory_languages")[territory].values()))


@functools.cache
def _official_languages(territory: str) -> tuple[str, ...]:
    """Languages official by law, else in fact."""
    spoken = get_global("territory_languages")[territory].items()
    for status in ("official", "de_facto_official"):
        found = [tag.partition("_")[0] for tag, about in spoken if about["official_status"] == status]
        if found:
            return tuple(dict.fromkeys(found))
    return ()
