"""Number normalization: a number has one form however it is written."""

from __future__ import annotations

import pytest

from worker.note.number_normalization import Number, has_number, numbers_in, units_by_number


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,200 mL", "1200", "ml"),
        ("2.0", "2", ""),
        ("two weeks", "2", "week"),
        ("twenty-five mg", "25", "mg"),
        ("05", "5", ""),
        (".5 mg", "0.5", "mg"),
        ("66-year-old", "66", "year"),
        ("C5", "c5", ""),
        ("10 cc", "10", "ml"),
        ("250 mmHg", "250", "mmhg"),
    ],
)
def test_a_number_has_one_form(text: str, value: str, unit: str) -> None:
    assert list(numbers_in(text)) == [Number(value, unit)]


def test_words_that_are_no_numbers_are_none() -> None:
    assert list(numbers_in("one of them, often, tenderness")) == []


def test_a_unit_must_agree_where_both_have_one() -> None:
    units = units_by_number("81 mg, pulse 72")
    assert has_number(Number("81", "mg"), units)
    assert has_number(Number("72", "minute"), units)
    assert not has_number(Number("81", "ml"), units)
    assert not has_number(Number("82", ""), units)


def test_a_short_year_of_a_date_is_a_long_one_too() -> None:
    assert has_number(Number("2006", ""), units_by_number("on 12/05/06"))
