"""What people call a company: its name without the class of its shares, and without its legal form."""

from __future__ import annotations

import re

_CLASS = re.compile(r"[\s,(-]+(?:Class|Series) [A-Z]\b.{0,60}$", re.IGNORECASE)
_SHARES = re.compile(r"[\s,-]+(?:Common (?:Stock|Shares)|Ordinary Shares|American Depositary .{0,60})$", re.IGNORECASE)
_TURNED = re.compile(r"^(.{1,200}\S),? \((\w+)\)$")
_FORM = re.compile(
    r",? (?:Inc|Incorporated|Corp|Corporation|Co|Company|Companies|Ltd|Limited|plc|N\.?V|S\.?A|AG|SE|LLC|L\.?P)\.?$",
    re.IGNORECASE,
)
_LONGEST = 200  # no name is longer; what is, is no name


def without_class(name: str) -> str:
    """The company's name, whichever of its shares is listed.

    >>> [without_class(name) for name in ("Alphabet Inc. (Class A)", "Hershey Company (The)", "Lilly (Eli)")]
    ['Alphabet Inc.', 'The Hershey Company', 'Eli Lilly']
    """
    words = " ".join(name[:_LONGEST].split())
    words = _SHARES.sub("", _CLASS.sub("", words))
    return _TURNED.sub(r"\2 \1", words)


def short_name(name: str) -> str:
    """What it is called in everyday language.

    >>> [short_name(name) for name in ("Alphabet Inc. (Class A)", "Nike, Inc.", "Crown Castle")]
    ['Alphabet', 'Nike', 'Crown Castle']
    """
    whole = without_class(name)
    return _FORM.sub("", whole) or whole
