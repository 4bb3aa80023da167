"""Tokenizers of every kind that transformers makes, trained on a few lines or given a small vocabulary."""

from functools import cache

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LINES = [
    "Once upon a time, there was a king. He didn't stop; he's there.",
    "the cats playing with the cat's plays",
    "naïve café\n\n  옛날 옛적에 왕이 살았다\t👑",
    "def f(x):\n    return x + 1",
] * 3


def _trained(inner, trainer):
    inner.train_from_iterator(LINES, trainer)
    return inner


def byte_level(prefix=False):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=prefix), decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    return _trained(inner, trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, special_tokens=["<|endoftext|>"]))


def byte_level_with_words():
    """Byte-level with added tokens that are not special, some of letters that stand for bytes."""
    inner = byte_level()
    inner.add_tokens(["special token", "<|user|>", "weiß ｜"])
    inner.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return inner


PIECES = ["▁", "▁the", "▁a", "▁king", "s", "t", "e", "a", "b", "c", "k", "i", "n", "g", ".", "\n", "▁▁", "▁▁▁▁", "이", "왕"]


def _pieces(first):
    names = [*first, *(f"<0x{b:02X}>" for b in range(256)), *PIECES]
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def sentencepiece_bpe():
    """As Llama 2: a space before every text, bytes for what is unknown."""
    inner = Tokenizer(models.BPE(_pieces(["<unk>", "<s>", "</s>"]), [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence(steps)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    inner.add_special_tokens(["<unk>", "<s>", "</s>"])
    return inner


def sentencepiece_without_prefix():
    """As Gemma: no space before a text, and runs of spaces as added tokens."""
    inner = Tokenizer(models.BPE(_pieces(["<pad>", "<eos>", "<bos>"]), [], byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    inner.add_tokens([AddedToken(t, normalized=False) for t in ("▁▁", "▁▁▁▁")])
    inner.add_special_tokens(["<pad>", "<eos>", "<bos>"])
    return inner


def unigram(scheme="always"):
    """As T5: Metaspace."""
    inner = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *((p, -1.0 - i / 9) for i, p in enumerate(PIECES))], 0))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace(prepend_scheme=scheme)
    inner.add_special_tokens(["<unk>", "</s>"])
    return inner


def word_piece(cleanup=True):
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=cleanup)
    _trained(inner, trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"]))
    around = [("[CLS]", inner.token_to_id("[CLS]")), ("[SEP]", inner.token_to_id("[SEP]"))]
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return inner


def char_bpe():
    """As OpenAI GPT: words that end in </w>."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.BertPreTokenizer(), decoders.BPEDecoder(suffix="</w>")
    return _trained(inner, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>"))


def words():
    """No decoder: the library joins names with spaces."""
    inner = Tokenizer(models.WordLevel(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return _trained(inner, trainers.WordLevelTrainer(special_tokens=["<unk>"]))


def pattern_replaced():
    """A decoder that replaces by a regular expression, and one that strips every token."""
    inner = byte_level()
    inner.decoder = decoders.Sequence([decoders.Replace(Regex("e+"), "3"), decoders.Strip("t", 1, 0), decoders.ByteLevel()])
    return inner


def connectionist():
    """A decoder that is no rule for single names."""
    inner = words()
    inner.decoder = decoders.CTC(pad_token="<unk>", word_delimiter_token="|", cleanup=False)
    return inner


def words_apart():
    """Whole words, cut at white space alone, and no decoder."""
    inner = words()
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return inner


def unigram_bytes():
    """Unigram with bytes for what is unknown, a space before the first part alone, and a decoder of two steps."""
    pieces = [("<unk>", 0.0), *((f"<0x{b:02X}>", 0.0) for b in range(256)), *((p, -1.0 - i / 9) for i, p in enumerate(PIECES))]
    inner = Tokenizer(models.Unigram(pieces, 0, byte_fallback=True))
    metaspace = {"prepend_scheme": "first", "split": False}
    inner.pre_tokenizer = pre_tokenizers.Metaspace(**metaspace)
    inner.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(**metaspace)])
    inner.add_special_tokens(["<unk>"])
    return inner


def lowered():
    """A normalizer that rewrites texts, and with them the text of an added token."""
    inner = byte_level()
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents()])
    inner.add_tokens([AddedToken("THE Cat"), AddedToken("A Cat", normalized=False)])
    return inner


def greedy_words():
    """Added tokens that take spaces with them, or are words alone."""
    inner = byte_level()
    inner.add_tokens([AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True), AddedToken("cat", single_word=True)])
    inner.add_special_tokens([AddedToken("<e>", lstrip=True, rstrip=True)])
    return inner


def stripped():
    """A decoder that fuses first, then replaces, and takes off a space at both ends of the whole text."""
    inner = sentencepiece_bpe()
    inner.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " "), decoders.Strip(" ", 1, 1)]
    inner.decoder = decoders.Sequence(steps)
    return inner


ODD = {kind.__name__: kind for kind in (words_apart, unigram_bytes, lowered, greedy_words, stripped)}
"""What nobody is known to have made, of steps that are there."""
FAST = {
    "byte_level": byte_level,
    "byte_level_prefix": lambda: byte_level(True),
    "byte_level_with_words": byte_level_with_words,
    "sentencepiece_bpe": sentencepiece_bpe,
    "sentencepiece_without_prefix": sentencepiece_without_prefix,
    "unigram": unigram,
    "unigram_first": lambda: unigram("first"),
    "unigram_never": lambda: unigram("never"),
    "word_piece": word_piece,
    "word_piece_not_cleaned": lambda: word_piece(False),
    "char_bpe": char_bpe,
    "words": words,
    "pattern_replaced": pattern_replaced,
    "connectionist": connectionist,
}


@cache
def fast(kind):
    return transformers.PreTrainedTokenizerFast(tokenizer_object=FAST[kind]())
