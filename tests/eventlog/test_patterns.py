"""Regular expressions: they mean what they mean in `re`, and no one takes long."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog import patterns
from chora_logging.eventlog.patterns import (
    Pattern,
    PatternCostError,
    PatternError,
    _Automaton,
    _parsed,
    _program,
)

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "é",
        ".",
        "[ab]",
        "[^a]",
        "[a-c]",
        r"\d",
        r"\W",
        r"\s",
        r"[^\w-]",
        "^",
        "$",
        r"\b",
        r"\B",
        "A",
        "\n",
    ]
)


def grown(inner):
    """Return expressions made of others."""
    repeats = st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])
    return (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | st.tuples(inner, repeats).map(lambda pair: f"({pair[0]}){pair[1]}")
        | inner.map(lambda body: f"(?i:{body})")
    )


EXPRESSIONS = st.recursive(ATOMS, grown, max_leaves=8)
#: Not the empty text, of which Pythons differ in whether it has a place that is no boundary.
TEXTS = st.text("abcABé0_ -\n", min_size=1, max_size=8)


class TestMeaning:
    @given(st.sampled_from(["", "(?s)", "(?m)", "(?i)", "(?a)"]), EXPRESSIONS, TEXTS)
    def test_it_is_that_of_re(self, flags, expression, text):
        """An expression is found where `re` finds it, by the automaton too."""
        # Here `$` is the end alone; in `re` it is also before a newline there, unless written in this way.
        plain = flags + expression
        expected = re.search(plain if "m" in flags else plain.replace("$", r"\Z"), text) is not None

        assert Pattern(plain).search(text) is expected
        assert _Automaton(_program(*_parsed(plain))).search(text) is expected

    @given(st.sampled_from(["", "(?i)"]), EXPRESSIONS, TEXTS)
    def test_its_literal_is_in_every_match(self, flags, expression, text):
        """A text without the literal of an expression does not match."""
        pattern = Pattern(flags + expression)

        assert pattern.literal in text or not pattern.search(text)

    @pytest.mark.parametrize(
        ("expression", "literal"),
        [
            ("time.?out after", "out after"),
            (r"it \d+ left", " left"),
            ("a|b", ""),
            ("(?i)ab", ""),
            ("(ab)c", "ab"),
        ],
    )
    def test_the_literal(self, expression, literal):
        """The literal is the longest text that stands as it is in every match."""
        assert Pattern(expression).literal == literal

    @pytest.mark.parametrize(
        ("expression", "texts"),
        [
            (r"(?i)straße", ["STRAßE", "Straße"]),
            ("(?i)[a-c]x", ["BX"]),
            (r"(?P<n>a)$", ["a"]),
            (r"(?x) a b # c", ["ab"]),
            ("[[]x", ["[x"]),
        ],
    )
    def test_other_forms(self, expression, texts):
        """Names of groups, verbose expressions, and characters of either case are understood."""
        assert all(Pattern(expression).search(text) for text in texts)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("expression", "reason"),
        [
            ("(", "it is not a regular expression: missing ), unterminated subpattern"),
            ("[z-a]", "it is not a regular expression: bad character range z-a"),
            (r"(a)\1", "a reference to a group is not possible here"),
            ("(?=a)", "look-ahead or look-behind is not possible here"),
            ("(?<!a)b", "look-ahead or look-behind is not possible here"),
            ("(a)?(?(1)b|c)", "a condition on a group is not possible here"),
            ("a" * 1001, "it has 1001 characters, and 1000 are allowed"),
            ("(?:a{1000}){1000}", "it has more than 400 parts when its repeats are written out"),
            ("(?:(?:){9999}){9999}", "it has more than 400 parts when its repeats are written out"),
            ("(" * 499 + ")" * 499, "it is nested too deeply"),
        ],
        ids=lambda value: value[:20],
    )
    def test_it_is_said_why(self, expression, reason):
        """An expression that is invalid or not bounded is refused with the reason."""
        with pytest.raises(PatternError) as caught:
            Pattern(expression)

        assert reason in str(caught.value)


#: Expressions that take `re` exponential time, or time that grows with a power of the length.
CATASTROPHIC = [
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|aa)+$",
    r"(\w+\s*)+:",
    r"(.*)(.*)(.*)(.*)=",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
]


class TestBounds:
    @pytest.mark.parametrize("expression", CATASTROPHIC)
    def test_work_grows_with_the_text(self, expression):
        """What takes `re` for ever needs a bounded number of states for each character."""
        automaton = _Automaton(_program(*_parsed(expression)))

        assert automaton.search("a" * 20_000 + "!") is False
        assert automaton._work < 10_000

    def test_an_expression_with_ever_new_states_is_given_up(self, monkeypatch):
        """An expression that needs new states all the time ends with an error, not with hours of work."""
        monkeypatch.setattr(patterns, "FREE_WORK", 10_000)
        monkeypatch.setattr(patterns, "WORK_PER_CHAR", 1)
        pattern = Pattern(r"(a|b)*a(a|b){60}c")
        text = "".join(f"{number:b}" for number in range(2_000)).replace("0", "a").replace("1", "b")

        with pytest.raises(PatternCostError, match="it takes too much time"):
            pattern.search(text)

    @given(EXPRESSIONS, st.lists(TEXTS, max_size=5))
    def test_forgetting_states_changes_nothing(self, expression, texts):
        """With room for one state the answers are the same."""
        with pytest.MonkeyPatch.context() as patch:
            usual = [_Automaton(_program(*_parsed(expression))).search(text) for text in texts]
            patch.setattr(patterns, "HELD_TRANSITIONS", 1)
            narrow = _Automaton(_program(*_parsed(expression)))

            assert [narrow.search(text) for text in texts] == usual

    def test_memory(self):
        """The states of an expression with very many of them take some megabytes."""
        automaton = _Automaton(_program(*_parsed(r"(a|b)*a(a|b){60}c")))
        text = "".join(f"{number:b}" for number in range(1_000)).replace("0", "a").replace("1", "b")
        tracemalloc.start()
        try:
            with pytest.raises(PatternCostError):
                automaton.search(text)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert most < 16 * 1024 * 1024
