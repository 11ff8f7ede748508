from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean
from stdnum.cn import ric, uscc

from gulou.kernel import Invalid
from gulou.kernel.checkdigits import (
    check_citizen_id,
    check_credit_code,
    check_gtin,
    check_organisation_code,
)

TODAY = date(2026, 11, 22)
CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def accepts(check, *arguments):
    try:
        check(*arguments)
    except Invalid:
        return False
    return True


def test_a_credit_code_is_taken_apart():
    found = check_credit_code("91110000600037341L")
    assert (found.registrar, found.region, found.organisation) == ("9", "110000", "60003734-1")
    assert check_credit_code(" 91350100m000100y43 ").code == "91350100M000100Y43"


def test_the_organisation_code_within():
    assert check_organisation_code("60003734-1") == check_organisation_code("600037341") == "60003734-1"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "id.length"),
        ("9111000060003734", "id.length"),
        ("9111000060003734IL", "id.character"),
        ("91110000600037341S", "id.character"),
        ("91990000600037341L", "id.region"),
        ("911A0000600037341L", "id.region"),
        ("91110000600037341M", "id.check_digit"),
        ("91110000600037314L", "id.check_digit"),
    ],
)
def test_wrong_credit_codes_say_which_rule_they_break(text, code):
    with pytest.raises(Invalid, match=code):
        check_credit_code(text)


@given(st.integers(min_value=0, max_value=17), st.sampled_from(CREDIT_ALPHABET))
def test_no_single_wrong_character_passes(position, character):
    right = "91110000600037341L"
    wrong = right[:position] + character + right[position + 1 :]
    assert accepts(check_credit_code, wrong) == (wrong == right)


@given(st.text(CREDIT_ALPHABET, min_size=18, max_size=18))
def test_what_passes_here_passes_the_oracle_too(text):
    assert not accepts(check_credit_code, text) or uscc.is_valid(text)


@given(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=8, max_size=8))
def test_credit_codes_made_by_the_oracle_pass(body):
    organisation = next(f"{body}{last}" for last in "0123456789X" if accepts(check_organisation_code, f"{body}{last}"))
    front = f"91110000{organisation}"
    made = front + uscc.calc_check_digit(front)
    assert check_credit_code(made).organisation == f"{body}-{organisation[-1]}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("60003734-2", "id.check_digit"),
        ("6000373*1", "id.character"),
        ("6000373-41", "id.length"),
        ("60003734", "id.length"),
        ("60003734-A", "id.character"),
    ],
)
def test_wrong_organisation_codes(text, code):
    with pytest.raises(Invalid, match=code):
        check_organisation_code(text)


def test_what_a_citizen_id_says():
    found = check_citizen_id("11010519491231002X", TODAY)
    assert (found.region, found.born, found.male) == ("110105", date(1949, 12, 31), False)
    assert check_citizen_id("440524188001010014", date(1990, 1, 1)).male
    assert check_citizen_id("11010519491231002x", TODAY) == found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("110105194912310", "id.length"),
        ("1101051949123100AX", "id.character"),
        ("11010519491231002Y", "id.character"),
        ("01010519491231002X", "id.region"),
        ("110105194902310024", "id.date"),
        ("110105299912310024", "id.date"),
        ("110105180012310024", "id.date"),
        ("110105194912310020", "id.check_digit"),
        ("110105194912310０2X", "id.character"),
    ],
)
def test_wrong_citizen_ids_say_which_rule_they_break(text, code):
    with pytest.raises(Invalid, match=code):
        check_citizen_id(text, TODAY)


@given(st.integers(0, 999), st.dates(date(1900, 1, 1), date(2026, 11, 21)))
def test_citizen_ids_made_by_the_oracle_pass(sequence, born):
    front = f"110105{born:%Y%m%d}{sequence:03d}"
    assert check_citizen_id(front + ric.calc_check_digit(f"{front}0"), TODAY).born == born


@given(st.integers(0, 999), st.dates(date(1900, 1, 1), date(2026, 11, 21)))
def test_only_the_oracles_check_digit_passes(sequence, born):
    front = f"110105{born:%Y%m%d}{sequence:03d}"
    passing = [last for last in "0123456789X" if accepts(check_citizen_id, front + last, TODAY)]
    assert passing == [ric.calc_check_digit(f"{front}0")]


def test_no_error_repeats_the_number():
    with pytest.raises(Invalid) as refused:
        check_citizen_id("110105194912310020", TODAY)
    assert "1949" not in str(refused.value)


@given(st.text("0123456789", min_size=7, max_size=13))
def test_gtins_agree_with_the_oracle(front):
    for last in "0123456789":
        text = front + last
        right_length = len(text) in {8, 12, 13, 14}
        assert accepts(check_gtin, text) == (right_length and ean.is_valid(text))


def test_gtins():
    assert check_gtin("6901234567892") == "06901234567892"
    with pytest.raises(Invalid, match=r"id\.check_digit"):
        check_gtin("6901234567893")
    with pytest.raises(Invalid, match=r"id\.character"):
        check_gtin("690123456789X")
    with pytest.raises(Invalid, match=r"id\.length"):
        check_gtin("")
