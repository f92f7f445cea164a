"""The syntax of conditions: what each expression means, and what is said of one that cannot be meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.conditions import Condition, parse_condition, parse_conditions

OPERATORS = ("=", "!=", ">", ">=", "<", "<=", "~=", ":")


@pytest.mark.parametrize(
    ("text", "path", "operator", "value", "negated"),
    [
        ("user=anna", ("user",), "=", "anna", False),
        ("  user  =  anna b ", ("user",), "=", "anna b", False),
        ("user == anna", ("user",), "=", "anna", False),
        ("user!=anna", ("user",), "!=", "anna", False),
        ("not user=anna", ("user",), "=", "anna", True),
        ("not=anna", ("not",), "=", "anna", False),
        ("not = anna", ("not",), "=", "anna", False),
        ("duration_ms>=1000", ("duration_ms",), ">=", "1000", False),
        ("url:a=b", ("url",), ":", "a=b", False),
        ("shop=a=b", ("shop",), "=", "a=b", False),
        ("user=", ("user",), "=", "", False),
        ("http.status<500", ("http", "status"), "<", "500", False),
        ("tags[]=x", ("tags", ""), "=", "x", False),
        ("a.b[][].c~=^x$", ("a", "b", "", "", "c"), "~=", "^x$", False),
        ('"aws:id" = 5', ("aws:id",), "=", "5", False),
        ('"a.b"=5', ("a.b",), "=", "5", False),
        ('user=" a "', ("user",), "=", " a ", False),
        ('note="x and y=5"', ("note",), "=", "x and y=5", False),
        ("note=salt and pepper", ("note",), "=", "salt and pepper", False),
        ('note="', ("note",), "=", '"', False),
        ("prénom=Zoë", ("prénom",), "=", "Zoë", False),
    ],
)
def test_what_is_understood(text, path, operator, value, negated):
    """A field, an operator and a value are told apart, with spaces and quotation marks around them."""
    condition = parse_condition(text)

    assert condition[1:5] == (path, operator, value, negated)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user", "must be a field, an operator (= != > >= < <= ~= :) and a value, such as user=anna"),
        ("", "must be a field, an operator"),
        ("=x", "must be a field, an operator"),
        ('""=x', "must be a field, an operator"),
        ("user name=anna", "must be a field, an operator"),
        ("duration_ms>", "a value must follow >"),
        ("message~=", "a value must follow ~="),
        ("message:", "a value must follow :"),
        ("user=~an.*", 'must be user~=an.*, or user="~an.*" for a value like that'),
        ("user!~an", "must be a field, an operator"),
        ("n=>5", 'must be n>=5, or n=">5"'),
        ("n=<5", "must be n<=5"),
        ("n<>5", "must be n!=5"),
        ("user!=~an", "must be not user~=an"),
        ("items[0].price>5", "must be a field with a path such as http.status or items[].price"),
        (".user=x", "must be a field with a path"),
        ("a..b=x", "must be a field with a path"),
        ("[]=x", "must be a field with a path"),
        ("a=1 and b>2", "must be one condition, such as a=1, and another one: b>2"),
        ("not a=1 or b~=2", "must be one condition, such as not a=1, and another one: b~=2"),
        (5, "must be a field, an operator"),
    ],
)
def test_what_cannot_be_meant(text, said):
    """An expression that cannot be meant is refused with what may have been meant."""
    with pytest.raises(ConfigurationError) as caught:
        parse_condition(text)

    assert f"where {said}" in str(caught.value) or said in str(caught.value)
    assert str(caught.value).endswith(f", got {text!r}")


@pytest.mark.parametrize("path", ["a." * 50_000 + "b", "a" + "[]" * 50_000])
def test_a_path_that_is_too_long(path):
    """A path has a limit, because every way to split it is looked for in every event."""
    with pytest.raises(ConfigurationError, match="where must be a path of at most 100 parts"):
        parse_condition(f"{path}=1")


def test_one_or_several():
    """One expression is a string; several are a list of them, of bounded length."""
    assert [condition.value for condition in parse_conditions("a=1")] == ["1"]
    assert [condition.value for condition in parse_conditions(["a=1", "b=2"])] == ["1", "2"]
    with pytest.raises(ConfigurationError, match="at most 50 conditions, got 51"):
        parse_conditions(["a=1"] * 51)


NAMES = st.text('ab.é@ :=[]"\\', min_size=1, max_size=5)


@given(
    st.booleans(),
    NAMES,
    st.sampled_from(OPERATORS),
    st.text(min_size=1, max_size=8),
    st.sampled_from(["", " "]),
)
def test_everything_can_be_quoted(negated, name, operator, value, space):
    """Any name and any value can be written as JSON strings."""
    text = f"{'not ' * negated}{json.dumps(name)}{space}{operator}{space}{json.dumps(value)}"

    assert parse_condition(text) == Condition(name, (name,), operator, value, negated, True)


@given(st.text(max_size=30) | st.text('ab=!<>~:[]. "\\', max_size=12))
def test_any_text(text):
    """Any text is either understood or refused as one."""
    try:
        condition = parse_condition(text)
    except ConfigurationError as error:
        assert error.name == "where"
    else:
        assert condition.operator in OPERATORS and all(condition.path[:1])
