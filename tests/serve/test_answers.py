"""The shapes of answers, where texts and tokens are not one to one."""

from helpers.tables import Letters

from unspool.serve.answers import Text, Told, chat_logprobs, completion_logprobs, finish_reason, word


class Bytes(Letters):
    """Tokens 0 and 1 are written alike, 2 and 3 are halves of a character."""

    def bytes_of(self, token):
        return {0: b"a", 1: b"a", 2: b"\xc3", 3: b"\xa9"}.get(token) or super().bytes_of(token)


def test_of_two_tokens_that_are_written_alike_the_likelier_has_the_name():
    text = Text(0, "a", [Told(1, -2.0, [(0, -1.0), (1, -2.0), (4, -3.0)])])
    assert completion_logprobs(Bytes(), text, 3)["top_logprobs"] == [{"a": -1.0, "token_id:1": -2.0, "e": -3.0}]
    assert completion_logprobs(Bytes(), text, 1)["top_logprobs"] == [{"a": -1.0, "token_id:1": -2.0}]
    assert completion_logprobs(Bytes(), text, 0)["top_logprobs"] == [{"a": -2.0}]


def test_bytes_that_are_no_character_are_told():
    text = Text(0, "aéa", [Told(0, -1.0), Told(2, -1.0), Told(3, float("-inf")), Told(0, -1.0), Told(5, -1.0)])
    told = completion_logprobs(Bytes(), text, 0)
    assert told["tokens"] == ["a", "bytes:\\xc3", "bytes:\\xa9", "a", "f"]
    assert told["text_offset"] == [0, 1, 1, 2, 3]
    assert told["token_logprobs"] == [-1.0, -1.0, -9999.0, -1.0, -1.0]
    content = chat_logprobs(Bytes(), text, 0)["content"]
    assert [one["bytes"] for one in content] == [[97], [0xC3], [0xA9], [97], None]
    assert word(Bytes(), 5) == Letters().name_of(5)


def test_reasons():
    assert [finish_reason(reason) for reason in ("length", "context", "time", "interrupted", "unfinished")] == ["length"] * 5
    assert [finish_reason(reason) for reason in ("end", "stop", "complete", "loop", "confidence")] == ["stop"] * 5
    assert finish_reason(None) is None
