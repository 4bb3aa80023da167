"""Which names mean models of the hub."""

import pytest

from unspool.models.hub import HubName, parse_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gpt2", HubName("gpt2")),
        ("distilgpt2@main", HubName("distilgpt2", "main")),
        ("org/some-name_1.5", HubName("org/some-name_1.5")),
        ("org/name@v1.0", HubName("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubName("org/name", "refs/pr/3")),
        ("hf:gpt2", HubName("gpt2", None, True)),
        ("hf:org/name@" + 40 * "a", HubName("org/name", 40 * "a", True)),
        ("org/name:Q4_K_M", HubName("org/name", file="Q4_K_M")),
        ("hf:name:name-q8_0.gguf@v2", HubName("name", "v2", True, "name-q8_0.gguf")),
    ],
)
def test_names_of_the_hub(text, name):
    assert parse_name(text) == name
    assert str(name) == text.removeprefix("hf:")


OTHERS = ["", "a/b/c"]
OTHERS += ["/gpt2", "./gpt2", "gpt2/", "../gpt2", "org/..", "~/gpt2", "C:\\gpt2", "org\\name", "two words", "org/na--me", "x.git"]
OTHERS += ["org/name:", "org/name:a/b", "org/name:..", "org/name:-x"]
OTHERS += ["gpt2@", "gpt2@/etc", "gpt2@../../x", "gpt2@a@b", "-x", ".x", "x-", "모델", "hf:", "hf:./x", 97 * "x", "gpt2\n"]


@pytest.mark.parametrize("text", OTHERS)
def test_other_names(text):
    assert parse_name(text) is None


def test_only_one_word_may_be_a_typing_error():
    assert parse_name("gpt2").bare
    assert not parse_name("org/gpt2").bare
    assert not parse_name("hf:gpt2").bare
