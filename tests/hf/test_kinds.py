"""Tokenizer truth: every token's bytes, which tokens are special, which ids exist, for every kind that transformers makes."""

import json

import pytest
from hypothesis import given, settings, strategies as st

pytest.importorskip("transformers")
import transformers
from hf.kinds import FAST, ODD, fast
from tokenizers import AddedToken, Tokenizer, decoders, models

from unspool.models.hf_tokenizer import TransformersTokenizer, as_tokenizer
from unspool.text import Detokenizer, text_of

LETTERS = st.sampled_from("abestkin Th.,'?!\n\t\x00\x7f옛왕가👑🏽é\u0301\u200d\u00a0") | st.characters(exclude_categories=["Cs"])
TEXT = st.text(LETTERS, max_size=20)
SPACES = {"byte_level": 0, "byte_level_with_words": 0, "sentencepiece_without_prefix": 0, "pattern_replaced": 0, "unigram_never": 0}
"""Where no space is put before a text."""


def decoded(theirs, tokens):
    return theirs.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def shown(ours, tokens):
    """What tokens stand for where text begins: without the tokenizer's own space."""
    text = text_of(ours, tokens)
    return text.removeprefix(" ") if ours.prefixes_space else text


@pytest.mark.parametrize("which", FAST)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_joined_bytes_are_the_decoded_text_and_prompts_the_encoded_one(which, data):
    theirs, ours = fast(which), as_tokenizer(fast(which))
    text = data.draw(TEXT)
    ids = theirs.encode(text, add_special_tokens=False)
    assert ours.ids(text) == ids
    whole = theirs.encode(text)
    assert ours.encode_prompt(text) == whole[: len(ours.begins) + len(ids)]
    expected = decoded(theirs, ids)
    if which in ("connectionist",):
        return
    if which.startswith("unigram") and which != "unigram_never":             # theirs takes off all spaces of the first token
        assert shown(ours, ids).lstrip(" ") == expected.lstrip(" ")
    elif which == "char_bpe":                                               # theirs takes off the space of the last word
        assert text_of(ours, ids) in (expected, expected + " ")
    elif which == "byte_level_prefix":                                      # theirs leaves the space there
        assert text_of(ours, ids) == expected
    else:
        assert shown(ours, ids) == expected


@pytest.mark.parametrize("which", [k for k in FAST if k != "connectionist"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_tokens_are_their_decoded_text(which, data):
    theirs, ours = fast(which), as_tokenizer(fast(which))
    choose = st.sampled_from([t for t in range(ours.size) if t not in ours.specials])
    ids = data.draw(st.lists(choose, min_size=1, max_size=12))
    known = theirs.get_added_vocab().values()
    joined = b"".join(map(ours.bytes_of, ids))
    if "sentencepiece" in which:
        try:
            joined.decode()
        except UnicodeDecodeError:                                         # theirs has a U+FFFD for each byte of a broken character
            return
    expected = decoded(theirs, ids)
    if which == "byte_level_with_words" and any(t in known for t in ids):   # theirs reads letters of added tokens as bytes
        return
    if which.startswith("word_piece"):                                      # theirs leaves the ## of the first token
        expected = expected.removeprefix("##")
    if which.startswith("unigram") or which in ("char_bpe", "byte_level_prefix"):
        assert shown(ours, ids).strip(" ") == expected.strip(" ")
    else:
        assert shown(ours, ids) == expected


PHRASES = ["Once upon", "  two  spaces ", "<l> a <r> b", "the cat's cat concat", " x  y<e> z", "THE CAT A Cat ﬁ", "\ta\n b", "<r>  x"]


@pytest.mark.parametrize("which", ODD)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_tokens_of_odd_kinds_are_written_as_they_are_decoded(which, data):
    inner = ODD[which]()
    ours = as_tokenizer(inner)
    text = data.draw(st.sampled_from(PHRASES) | TEXT)
    ids = inner.encode(text, add_special_tokens=False).ids
    assert ours.ids(text) == ids
    choose = st.sampled_from([t for t in range(ours.size) if t not in ours.specials])
    for tokens in ([t for t in ids if t not in ours.specials], data.draw(st.lists(choose, min_size=1, max_size=8))):
        try:
            b"".join(map(ours.bytes_of, tokens)).decode()
        except UnicodeDecodeError:                                         # theirs has a U+FFFD for each byte of a broken character
            continue
        writer = Detokenizer(ours, prompt=[])
        written = "".join(map(writer.add, tokens)) + writer.finish()
        if not written.strip(" "):                                         # theirs crashes on a text of nothing
            continue
        expected = inner.decode(tokens)
        if which == "unigram_bytes":                                       # theirs takes off all spaces of the first token
            assert written.lstrip(" ") == expected.lstrip(" ")
        else:
            assert written == expected


@pytest.mark.parametrize("which", FAST)
def test_specials_sizes_and_names(which):
    theirs, ours = fast(which), as_tokenizer(fast(which))
    which_are = [t for t in range(ours.size) if which != "connectionist"]     # whose decoder drops more
    dropped = {t for t in which_are if theirs.decode([t], skip_special_tokens=True) == "" != theirs.decode([t])}
    assert set(theirs.all_special_ids) <= ours.specials
    assert all(ours.bytes_of(t) == b"" for t in ours.specials)
    assert which == "connectionist" or ours.specials == dropped | set(theirs.all_special_ids)
    assert ours.size == max(theirs.get_vocab().values()) + 1
    assert {ours.name_of(i): i for i in theirs.get_vocab().values()} == theirs.get_vocab()
    assert ours.prefixes_space == (which not in SPACES and which not in ("char_bpe", "connectionist"))


@pytest.mark.field("F23")
def test_word_piece_keeps_spaces_between_words():
    inner = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "cat": 2, "##s": 3, "play": 4, "##ing": 5}, unk_token="[UNK]"))
    inner.decoder = decoders.WordPiece()
    ours = as_tokenizer(inner)
    assert text_of(ours, [2, 3, 4, 5]) == " cats playing"
    assert shown(ours, [1, 2, 3]) == "the cats"


def test_cleaned_word_pieces_have_no_space_before_signs():
    """As the decoder's cleanup writes them; told not to, it leaves the space."""
    for cleanup, expected in ((True, "the cat. don't"), (False, "the cat . do n't")):
        inner = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "cat": 2, ".": 3, "do": 4, "n't": 5}, unk_token="[UNK]"))
        inner.decoder = decoders.WordPiece(cleanup=cleanup)
        assert shown(as_tokenizer(inner), [1, 2, 3, 4, 5]) == expected == inner.decode([1, 2, 3, 4, 5])


@pytest.mark.field("F25")
def test_runs_of_spaces_that_are_added_tokens():
    theirs = fast("sentencepiece_without_prefix")
    ours = as_tokenizer(theirs)
    ids = [theirs.convert_tokens_to_ids(t) for t in ("\n", "▁▁▁▁", "a", "\n", "▁▁", "b")]
    assert text_of(ours, ids) == "\n    a\n  b" == decoded(theirs, ids)


@pytest.mark.field("F27")
def test_added_tokens_under_byte_level_are_their_text():
    """Transformers itself reads the letters of "weiß" as bytes."""
    ours = as_tokenizer(fast("byte_level_with_words"))
    for text in ("a special token b", "weiß ｜", "<|user|>x"):
        assert text_of(ours, ours.encode(text)) == text
    odd = Tokenizer(models.BPE({"a": 0, "漢": 1}, []))
    odd.decoder = decoders.ByteLevel()
    assert as_tokenizer(odd).bytes_of(1) == "漢".encode()


@pytest.mark.field("F36")
def test_ids_with_holes():
    """The size is the highest id + 1."""
    inner = Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2, "Ġ": 3, "d": 9, "<e>": 12}, []))
    inner.decoder = decoders.ByteLevel()
    ours = as_tokenizer(inner)
    assert ours.size == 13
    assert [ours.bytes_of(t) for t in (3, 4, 9, 11)] == [b" ", b"", b"d", b""]
    assert ours.name_of(4) == "<4>"


def test_truncation_of_a_file_does_not_cut_prompts(tmp_path):
    from unspool.models.tokenizer_folder import read_tokenizer

    inner = FAST["byte_level"]()
    inner.enable_truncation(3)
    inner.enable_padding(length=8)
    inner.save(str(tmp_path / "tokenizer.json"))
    text = "Once upon a time, there was a king."
    assert read_tokenizer(tmp_path).encode_prompt(text) == transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path).encode(text)


def test_special_tokens_are_not_split_unless_asked():
    inner = FAST["byte_level_with_words"]()
    for split in (False, True):
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, split_special_tokens=split)
        assert as_tokenizer(theirs).encode("a<|im_end|>") == theirs.encode("a<|im_end|>")


def slow(folder):
    """Tokenizers in Python, each with a small vocabulary of its own."""
    names = ["<unk>", "<s>", "</s>", "<pad>", "hel@@", "lo", "the@@", "re", "cat", "s", "l@@", "e@@", "h@@", "o", "t@@"]
    (folder / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate([*names, "h", "e", "c@@", "a@@", "t"])}))
    (folder / "merges.txt").write_text("#version: 0.2\nh e\nhe l\nl o</w>\nt h\nth e\nr e</w>\n")
    yield transformers.CTRLTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token="<unk>")
    yield transformers.ByT5Tokenizer()
    letters = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(letters))
    yield transformers.EsmTokenizer(str(folder / "vocab.txt"))


def test_a_class_that_decodes_otherwise_than_its_file():
    vocabulary = {t: i for i, t in enumerate(["t", "h", "e</w>", "<|startoftext|>", "<|endoftext|>", "th", "the</w>"])}
    theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=[("t", "h"), ("th", "e</w>")])
    ours = as_tokenizer(theirs)
    ids = theirs.encode("the the", add_special_tokens=False)
    assert text_of(ours, ids).rstrip(" ") == decoded(theirs, ids) == "the the"
    assert ours.suffixes_space


def test_slow_ones(tmp_path):
    texts = {"CTRLTokenizer": ["hello there", "hello cat", "lo hello"], "ByT5Tokenizer": ["hello 옛 👑\n"], "EsmTokenizer": ["L A G"]}
    for theirs in slow(tmp_path):
        ours = as_tokenizer(theirs)
        assert isinstance(ours, TransformersTokenizer)
        assert ours.specials >= set(theirs.all_special_ids)
        assert ours.size == max(theirs.get_vocab().values()) + 1
        for text in texts[type(theirs).__name__]:
            ids = [t for t in theirs.encode(text, add_special_tokens=False) if t not in ours.specials]
            assert len(ids) > 1
            assert text_of(ours, ids).strip(" ") == decoded(theirs, ids), type(theirs)


def test_named_specials_that_are_not_marked():
    """A token that is named special and stands in the vocabulary unmarked is special, as among all_special_ids."""
    inner = FAST["byte_level"]()
    inner.add_tokens([AddedToken("<pad>", special=False)])
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<|endoftext|>")
    ours = as_tokenizer(theirs)
    assert set(theirs.all_special_ids) == ours.specials
