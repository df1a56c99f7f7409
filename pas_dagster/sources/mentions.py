"""Mentions of listed securities in what people write.

A mention is a cashtag (`$tsla`), or a listed symbol of three letters and more that stands alone in capitals (`TSLA`).
Capitals say nothing for words that are also English or slang, nor in a line that has no small letter: there only
cashtags count, as for symbols of one or two letters.
"""

from __future__ import annotations

import re
from collections.abc import Set

_ENGLISH = """
ALL ANY APP ARE BACK BAD BALL BEAT BEST BIG BILL BIT BORN BUD BUY CALL CAN CAR CASH CARE CARS COST CORE DAY DIG DO
DOG EARN EAT EDIT ELSE EVER EVEN EYE FAST FIVE FIX FLOW FOR FREE FROM FUN FUND GAIN GAINS GAP GET GLAD GO GOOD GROW
HAS HE HEAR HELP HERE HIGH HIT HOLD HOPE HOT HUGE JOB JUST KEY KIDS KNOW LAND LAST LAZY LIFE LIKE LIVE LOAN LONG
LOSS LOVE LOW MAIN MAN MIND MOON MORE MOST MOVE MUST NEAR NET NEW NEXT NICE NOT NOW OLD ONE ONLY OPEN OUR OUT OVER
PAY PEAK PLAY PLUS PM POOL POST PLAN PUMP PUT PUTS REAL RIDE ROAD ROCK ROOT RUN SAFE SAVE SEE SELL SHE SHIP SHOP
SHORT SITE SO SOME STAY STEM STOP SUN TEAM TELL THE THIS TOO TOP TRUE TRY TURN TWO VERY WANT WELL WHO WHY WIN WOOD
WORK YES YOU YOUR
"""
_SLANG = """
ATH AMA ATM CEO CFO COVID CPI DCA DD DOJ DOW EOD EOM EOW EPS ETA ETF ETFS FAQ FBI FDA FED FOMC FOMO FUD FYI GDP GPS
HODL ICE IMO IMHO IPO IRA IRS ITM LEAP LEAPS LFG LLC LMAO LOL MOASS NYSE OTC OTM OMG PDT PEG PSA ROI ROTH SEC SMH
SPAC TLDR TIL USA USD WSB WTF YOLO YTD
"""
STOP_WORDS = frozenset(_ENGLISH.split()) | frozenset(_SLANG.split())
"""Capitals that are, or could be, symbols, but mostly mean something else."""

_CANDIDATE = re.compile(
    r"(?<![A-Za-z0-9$])(?:\$([A-Za-z][A-Za-z0-9]{0,5}(?:[.-][A-Za-z]{1,2})?)|([A-Z][A-Z0-9]{2,5}(?:[.-][A-Z]{1,2})?))"
    r"(?![A-Za-z0-9])"
)
_SMALL = re.compile(r"[a-z]")


def mentioned(text: str, listed: Set[str]) -> set[str]:
    """The symbols of `listed` (upper case, class after a dot) that a text mentions.

    >>> sorted(mentioned("ALL in on $f and BRK.B, sold TSLA at ATH", {"F", "ALL", "BRK.B", "TSLA", "T"}))
    ['BRK.B', 'F', 'TSLA']
    """
    found: set[str] = set()
    for line in text.splitlines():
        quiet = None
        for match in _CANDIDATE.finditer(line):
            symbol = _listed(match[1] or match[2], listed)
            if symbol is None or symbol in found:
                continue
            if match[1] is None:
                quiet = _SMALL.search(line) is not None if quiet is None else quiet
                if not quiet or symbol in STOP_WORDS:
                    continue
            found.add(symbol)
    return found


def _listed(word: str, listed: Set[str]) -> str | None:
    """The listed symbol that a word spells, also when something that is no class follows it (`TSLA-IV`)."""
    symbol = word.upper().replace("-", ".")
    if symbol in listed:
        return symbol
    stem = symbol.partition(".")[0]
    return stem if stem in listed else None
