"""Check digits of numbers that people and organisations carry.

Each function returns what the number says, or refuses it with the rule that it breaks.

The numbers are personal or sensitive: no error repeats one, only its kind and the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gulou.kernel.errors import Invalid

_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = tuple(pow(3, index, 31) for index in range(17))
_ORGANISATION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_CHECKS = "10X98765432"
_DIGITS = "0123456789"
_GTIN_LENGTHS = (8, 12, 13, 14)

PROVINCES = frozenset(
    str(number)
    for area in (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82))
    for number in area
)
"""First two digits of GB/T 2260. 83 (Taiwan, in residence permits) is allowed where these permits are."""


@dataclass(frozen=True)
class CreditCode:
    """A unified social credit code (统一社会信用代码), taken apart.

    Args:
        registrar: who registered it: 1 机构编制, 5 民政, 9 市场监管, N 农业, Y others …
        region: of registration, GB/T 2260.
        organisation: the organisation code within, ``60003734-1``.
    """

    code: str
    registrar: str
    category: str
    region: str
    organisation: str


@dataclass(frozen=True)
class CitizenId:
    """What a citizen id number (公民身份号码) says; the number itself is not kept.

    Args:
        region: of first registration, GB/T 2260 as it then was.
    """

    region: str
    born: date
    male: bool


def check_credit_code(text: str) -> CreditCode:
    """Check a unified social credit code; letters in upper case, blanks around it are ignored.

    The organisation code within carries its own check digit, which is checked too.

    Raises:
        Invalid: ``id.length``, ``id.character``, ``id.region``, ``id.check_digit``.

    Source: GB 32100-2015 §4, annex A
    """
    kind = "credit code"
    code = _of_length(text, 18, kind)
    _in_alphabet(code, _CREDIT_ALPHABET, kind)
    # State organs of the centre are registered under 10, so this is not limited to provinces.
    if not code[2:8].isdigit() or code[2:4] not in PROVINCES | {"10"}:
        raise Invalid("id.region", kind=kind, position="3-8")
    total = sum(
        _CREDIT_ALPHABET.index(character) * weight for character, weight in zip(code, _CREDIT_WEIGHTS, strict=False)
    )
    if code[17] != _CREDIT_ALPHABET[(31 - total % 31) % 31]:
        raise Invalid("id.check_digit", kind=kind)
    if code[16] != _organisation_check(code[8:16]):
        raise Invalid("id.check_digit", kind="organisation code")
    return CreditCode(code, code[0], code[1], code[2:8], f"{code[8:16]}-{code[16]}")


def check_organisation_code(text: str) -> str:
    """Check an organisation code (组织机构代码), with or without its hyphen; return it with one.

    Raises:
        Invalid: ``id.length``, ``id.character``, ``id.check_digit``.

    Source: GB 11714-1997 §3
    """
    kind = "organisation code"
    stripped = text.strip()
    code = _of_length(stripped[:8] + stripped[9:] if stripped[8:9] == "-" else stripped, 9, kind)
    _in_alphabet(code[:8], _ORGANISATION_ALPHABET, kind)
    _in_alphabet(code[8:], _DIGITS + "X", kind, first=9)
    if code[8] != _organisation_check(code[:8]):
        raise Invalid("id.check_digit", kind=kind)
    return f"{code[:8]}-{code[8]}"


def check_citizen_id(text: str, today: date) -> CitizenId:
    """Check a citizen id number, or a residence permit number of the same form (81, 82, 83; 9 for foreigners).

    Args:
        today: nobody is born later, nor more than 150 years earlier.

    Raises:
        Invalid: ``id.length``, ``id.character``, ``id.region``, ``id.date``, ``id.check_digit``.

    Source: GB 11643-1999 §4
    """
    kind = "citizen id"
    code = _of_length(text, 18, kind)
    _in_alphabet(code[:17], _DIGITS, kind)
    _in_alphabet(code[17:], _DIGITS + "X", kind, first=18)
    if code[:2] not in PROVINCES | {"83"} and code[0] != "9":
        raise Invalid("id.region", kind=kind, position="1-2")
    try:
        born = date(int(code[6:10]), int(code[10:12]), int(code[12:14]))
    except ValueError:
        raise Invalid("id.date", kind=kind, position="7-14") from None
    if not today.year - 150 <= born.year or born > today:
        raise Invalid("id.date", kind=kind, position="7-14")
    total = sum(int(digit) * weight for digit, weight in zip(code, _CITIZEN_WEIGHTS, strict=False))
    if code[17] != _CITIZEN_CHECKS[total % 11]:
        raise Invalid("id.check_digit", kind=kind)
    return CitizenId(code[:6], born, int(code[16]) % 2 == 1)


def check_gtin(text: str) -> str:
    """Check a GTIN of 8, 12, 13 or 14 digits (also a GLN, 13); return it as 14 digits.

    Raises:
        Invalid: ``id.length``, ``id.character``, ``id.check_digit``.

    Source: GB 12904-2008 §5.3
    """
    kind = "GTIN"
    code = text.strip()
    if len(code) not in _GTIN_LENGTHS:
        raise Invalid("id.length", kind=kind, expected="8, 12, 13 or 14", length=len(code))
    _in_alphabet(code, _DIGITS, kind)
    weighted = sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(reversed(code)))
    if weighted % 10:
        raise Invalid("id.check_digit", kind=kind)
    return code.zfill(14)


def _organisation_check(body: str) -> str:
    total = sum(
        _ORGANISATION_ALPHABET.index(character) * weight
        for character, weight in zip(body, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0123456789X0"[11 - total % 11]


def _of_length(text: str, expected: int, kind: str) -> str:
    code = text.strip().upper()
    if len(code) != expected:
        raise Invalid("id.length", kind=kind, expected=expected, length=len(code))
    return code


def _in_alphabet(code: str, alphabet: str, kind: str, first: int = 1) -> None:
    for position, character in enumerate(code, start=first):
        if character not in alphabet:
            raise Invalid("id.character", kind=kind, position=position, allowed=alphabet)
