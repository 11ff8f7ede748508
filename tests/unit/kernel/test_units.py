import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid
from gulou.kernel.unit_aliases import CEFACT, SPELLINGS
from gulou.kernel.units import check_unit, conversion, preload, to_ucum

# One value in the first unit, and what it is in the second, from definitions (BIPM, NIST SP 811), not from the library.
KNOWN = [
    ("[degF]", "Cel", 212, 100),
    ("[degF]", "Cel", -40, -40),
    ("Cel", "K", 0, 273.15),
    ("K", "Cel", 0, -273.15),
    ("km/h", "m/s", 36, 10),
    ("[mi_i]/h", "km/h", 60, 96.56064),
    ("[kn_i]", "km/h", 1, 1.852),
    ("mg/m3", "ug/m3", 0.4, 400),
    ("g/L", "mg/L", 1, 1000),
    ("%", "1", 64, 0.64),
    ("[ppm]", "[ppb]", 1, 1000),
    ("[ft_i]", "m", 1, 0.3048),
    ("[in_i]", "mm", 1, 25.4),
    ("[in_i'Hg]", "hPa", 1, 33.86389),
    ("mm[Hg]", "Pa", 1, 133.322387),
    ("atm", "hPa", 1, 1013.25),
    ("mbar", "hPa", 1, 1),
    ("kW.h", "MJ", 1, 3.6),
    ("W.h", "kW.h", 1000, 1),
    ("L/min", "m3/h", 1, 0.06),
    ("L/s", "m3/h", 1, 3.6),
    ("/min", "/h", 1, 60),
    ("deg", "rad", 180, math.pi),
    ("har", "m2", 1, 10_000),
    ("uS/cm", "mS/cm", 1000, 1),
    ("d", "s", 1, 86_400),
    ("t", "kg", 1, 1000),
    ("kV.A{reactive}", "V.A{reactive}", 1, 1000),
]


@pytest.mark.parametrize(("source", "target", "value", "expected"), KNOWN)
def test_known_conversions(source, target, value, expected):
    assert conversion(source, target).apply(value) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("source", "target"), [(source, target) for source, target, _, _ in KNOWN])
@given(value=st.floats(min_value=-1e6, max_value=1e6))
def test_there_and_back_gives_the_value_again(source, target, value):
    there, back = conversion(source, target), conversion(target, source)
    assert back.apply(there.apply(value)) == pytest.approx(value, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("code", sorted({*CEFACT.values(), *SPELLINGS.values()}))
def test_every_alias_leads_to_a_real_unit(code):
    assert check_unit(code) == code
    assert conversion(code, code).is_identity


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("GQ", "ug/m3"),
        ("KMH", "km/h"),
        ("CEL", "Cel"),
        ("P1", "%"),
        ("2N", "dB"),
        ("dBA", "dB"),
        ("µg/m³", "ug/m3"),
        ("°C", "Cel"),
        ("H67", "mm/h"),
    ],
)
def test_other_spellings_mean_their_ucum_code(source, target):
    assert to_ucum(source) == target
    assert conversion(source, target).is_identity


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("m", "s"),
        ("deg", "1"),
        ("deg", "%"),
        ("dB", "1"),
        ("dB", "Np"),
        ("[pH]", "1"),
        ("rad/s", "Hz"),
        ("mm", "L/m3"),
        ("Cel", "m"),
    ],
)
def test_different_quantities_do_not_convert(source, target):
    with pytest.raises(Invalid, match=r"unit\.incompatible"):
        conversion(source, target)


@pytest.mark.parametrize(("source", "target"), [("[ppb]", "ug/m3"), ("mg/m3", "[ppm]"), ("ppb", "GQ")])
def test_a_mixing_ratio_is_not_guessed_into_a_concentration(source, target):
    with pytest.raises(Invalid, match=r"unit\.needs_molar_mass"):
        conversion(source, target)


@pytest.mark.parametrize(("code", "meant"), [("ft", "[ft_i]"), ("in", "[in_i]"), ("C", "Cel")])
def test_a_code_that_reads_otherwise_in_ucum_gets_advice(code, meant):
    with pytest.raises(Invalid, match=r"unit\.ambiguous") as refused:
        conversion(code, "m")
    assert refused.value.params["meant"] == meant


@pytest.mark.parametrize(
    "code", ["", "foo", "m(", "((((", "m/", "10*9999999", "m99999", "µ", "\x00", "{", "m{}}", "1e400", "Cel/h"]
)
def test_what_is_no_unit_is_refused(code):
    with pytest.raises(Invalid, match=r"unit\.unknown"):
        check_unit(code)


@given(st.text(max_size=70))
def test_any_text_is_a_unit_or_refused(code):
    try:
        assert conversion(code, code).is_identity
    except Invalid as refused:
        assert refused.code.startswith("unit.")


def test_a_very_long_code_is_refused_before_it_is_parsed():
    with pytest.raises(Invalid, match=r"unit\.too_long"):
        check_unit("m." * 1000 + "m")


def test_annotations_do_not_count():
    assert conversion("{vehicle}/h", "/h").is_identity
    assert conversion("{NTU}", "1").is_identity


def test_preloading_makes_the_first_conversion_cheap():
    preload()
    assert conversion.cache_info().currsize > 0
