"""The command line as a way to write a run down: whatever is given comes back, or is refused.

Fields and hashes by themselves are in `test_spec.py`.
"""

import pytest
import rich_click as click
from hypothesis import given
from hypothesis import strategies as st

from credit.commands import base
from credit.errors import CreditError
from credit.lab import options
from credit.spec import LARGEST, RunSpec, check_field, field_types
from tests.specs import mappings, patient

DEFAULTS = RunSpec().to_params()
names = st.sampled_from(sorted(DEFAULTS))
texts = st.text(max_size=20)
spaces = st.text(alphabet=" \t", max_size=3)


COMMAND = base.Command("train", params=[base.option(n, v, "") for n, v in DEFAULTS.items()])


def parsed(words: list[str]) -> dict[str, str]:
    try:
        return COMMAND.make_context("train", words).params
    except click.UsageError as error:
        raise CreditError(f"{error.format_message()}: see --help") from error


@patient
@given(mappings(), st.randoms(use_true_random=False))
def test_a_run_written_as_options_is_that_run(fields, random):
    one = RunSpec.from_mapping(fields)
    options = list(one.to_params().items())
    random.shuffle(options)
    words = []
    for name, value in options:
        joined = random.random() < 0.5 or value.startswith("-")
        words += [f"--{name}={value}"] if joined else [f"--{name}", value]
    assert RunSpec.from_mapping(parsed(words)) == one


@patient
@given(names, texts)
def test_an_option_gives_back_any_text(name, text):
    assert parsed([f"--{name}={text}"]) == {**DEFAULTS, name: text}
    if not text.startswith("-"):
        assert parsed([f"--{name}", text]) == {**DEFAULTS, name: text}


@patient
@given(st.lists(texts | names.map("--{}".format), max_size=4))
def test_any_words_are_options_or_refused_with_a_remedy(words):
    found, refusal = DEFAULTS, ""
    try:
        found = parsed([word for word in words if word not in ("-h", "--help")])
    except CreditError as error:
        refusal = str(error)
    assert not refusal or ": " in refusal
    assert found.keys() == DEFAULTS.keys()


@patient
@given(names, texts, texts)
def test_an_option_is_given_once(name, one, other):
    with pytest.raises(CreditError, match=f"--{name} is given twice"):
        parsed([f"--{name}={one}", f"--{name}={other}"])


@patient
@given(names, texts)
def test_a_value_is_refused_under_the_name_that_the_user_gave_it(name, text):
    value, refusal = None, ""
    try:
        value = check_field(name, text, "your_option")
    except CreditError as error:
        refusal = str(error)
    if refusal:
        assert "your_option" in refusal and ": " in refusal
    else:
        assert type(value) is field_types()[name]


def listed(text: str, field: str) -> list:
    return [own[field] for own in options.listed({"values": text}, "values", field)]


@patient
@given(st.lists(st.integers(0, LARGEST), min_size=1, max_size=6, unique=True), spaces)
def test_a_list_of_whole_numbers_comes_back(numbers, space):
    assert listed(f"{space},{space}".join(map(str, numbers)), "seed") == numbers


@patient
@given(st.lists(st.floats(0, allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_a_list_of_numbers_comes_back_or_has_one_twice(numbers):
    text = ",".join(map(repr, numbers))
    if len(set(numbers)) == len(numbers):
        assert listed(text, "tgw") == numbers
    else:
        with pytest.raises(CreditError, match="twice"):
            listed(text, "tgw")


@patient
@given(st.text(alphabet="0123456789.,-+ ex", max_size=12))
def test_any_text_is_a_list_or_refused_by_name(text):
    for field, kind in (("seed", int), ("tgw", float), ("rule", str)):
        found, refusal = [], ""
        try:
            found = listed(text, field)
        except CreditError as error:
            refusal = str(error)
        assert bool(found) != bool(refusal)
        assert not refusal or (refusal.startswith("values=") and ": " in refusal)
        assert all(type(value) is kind for value in found) and len(set(found)) == len(found)
