"""Chat templates: rendered as transformers renders them, tokenised with their special tokens, refused in one line."""

import json
import sys

import pytest
from helpers.program import BUNDLED, called, refusal, tiny_folder
from tokenizers import AddedToken, Tokenizer

import unspool as un
from unspool.models.chat import ChatTemplate, template_of
from unspool.models.tokenizer_folder import read_tokenizer

transformers = pytest.importorskip("transformers")
pytest.importorskip("jinja2")

TURNS = """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
INSTRUCTIONS = """{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}{%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system is defined %}
            {{- '[INST] ' + system + '\\n\\n' + message['content'] | trim + ' [/INST]' }}
        {%- else %}
            {{- '[INST] ' + message['content'] | trim + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}"""
HELPERS = """{%- set ns = namespace(found=false, seen=dict(a=1)) -%}
{%- if tools is not none and tools is defined %}TOOLS {{ tools | tojson(indent=2) }}{% endif %}
{{- bos_token }}{{ strftime_now('%Y') | length }}
    {%- for message in messages %}
        {%- if message.role == 'skip' %}{% continue %}{% endif %}
        {%- if message.role == 'system' %}{% set ns.found = true %}{% endif %}
{{ '<|' ~ message.role ~ '|>' }}
{%- if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}
        {%- if message.role == 'assistant' %}{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}
    {%- endfor %}
{{ {'found': ns.found, 'text': '<é>'} | tojson }}
{%- macro close(what) %}[{{ what }}]{% endmacro %}{{ close('end') if add_generation_prompt }}"""
TEMPLATES = {"turns": TURNS, "instructions": INSTRUCTIONS, "helpers": HELPERS}
TALKS = {
    "one": [{"role": "user", "content": "  What is a king? "}],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "long": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "옛날 <b>&"}],
}


def words():
    inner = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    inner.add_special_tokens([AddedToken(t, special=True) for t in ("<|im_start|>", "<|im_end|>", "<s>", "</s>")])
    return inner


def chatting(template):
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words(), bos_token="<s>", eos_token="</s>", chat_template=template)


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_rendered_as_transformers_does(template, talk):
    theirs = chatting(TEMPLATES[template])
    expected = theirs.apply_chat_template(TALKS[talk], tokenize=False, add_generation_prompt=True)
    assert template_of(theirs)(TALKS[talk]) == expected


def test_parts_and_loop_controls():
    talk = [{"role": "skip", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    theirs = chatting(HELPERS)
    assert template_of(theirs)(talk) == theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


@pytest.fixture
def folder(tmp_path):
    """A GPT-2 whose tokenizer knows the tokens of turns."""
    inner = words()
    place = tiny_folder(tmp_path / "chat", vocabulary=inner.get_vocab_size(), config={"n_positions": 16})
    inner.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": TURNS, "bos_token": {"content": "<s>", "__type": "AddedToken"}, "eos_token": "</s>"})
    )
    return place


def test_a_model_answers_messages(folder):
    lm = un.load(folder)
    out = lm.generate(messages=[{"role": "user", "content": "Hi"}], max_new_tokens=2)
    assert out.prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert out.prompt_tokens == chatting(TURNS).apply_chat_template(TALKS["system"][1:], add_generation_prompt=True)["input_ids"]
    assert lm.tokenizer.bytes_of(out.prompt_tokens[0]) == b""
    assert lm.generate("Hi", chat=True, max_new_tokens=2).tokens == out.tokens
    assert [o.tokens for o in lm.generate(["Hi", "Hi"], chat=True, max_new_tokens=2)] == [out.tokens] * 2
    code, text, said = called("Hi", "--chat", "-m", str(folder), "--max-new-tokens", "2", "-o", "json")
    assert (code, said) == (0, "")
    assert json.loads(text)[0]["prompt"] == out.prompt


def test_a_start_token_that_the_template_spells_is_not_doubled(tmp_path):
    from tokenizers.processors import TemplateProcessing

    inner = words()
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))])
    place = tiny_folder(tmp_path / "chat", vocabulary=inner.get_vocab_size())
    inner.save(str(place / "tokenizer.json"))
    (place / "chat_template.jinja").write_text("{{ bos_token }}Q: {{ messages[0].content }}{{ eos_token }}")
    (place / "special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    lm = un.load(place)
    start = inner.token_to_id("<s>")
    assert lm.tokens_of("Hi")[0] == start
    tokens = lm.generate("Hi", chat=True, max_new_tokens=1).prompt_tokens
    assert tokens.count(start) == 1
    assert tokens[0] == start
    assert tokens[-1] == inner.token_to_id("</s>")


def test_several_templates(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    named = [{"name": "tool_use", "template": "{{ 1/0 }}"}, {"name": "default", "template": TURNS}]
    for templates, fine in ((named, True), (named[:1], False)):
        (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": templates}))
        if fine:
            assert un.load(folder).render(TALKS["one"]).startswith("<|im_start|>user")
        else:
            with pytest.raises(un.Unsupported, match="tool_use"):
                un.load(folder).render(TALKS["one"])


NO_MESSAGES = ["Hi", [], {}, ["Hi"], [{"content": "Hi"}], [{"role": "user"}], [{"role": "user", "content": 3}]]


@pytest.mark.parametrize("messages", NO_MESSAGES)
def test_bad_messages(messages):
    with pytest.raises(un.PromptError, match="messages"):
        ChatTemplate(TURNS)(messages)


def test_what_goes_wrong_is_said(folder, monkeypatch):
    wrong = [{"role": "assistant", "content": "Hi"}]
    with pytest.raises(un.PromptError, match="roles must alternate"):
        ChatTemplate(INSTRUCTIONS)(wrong)
    with pytest.raises(un.ModelError, match="template is broken in line 1"):
        ChatTemplate("{% if %}")(wrong)
    with pytest.raises(un.PromptError, match="template"):
        ChatTemplate("{{ messages[0].nothing.more }}")(wrong)
    for escape in ("{{ ''.__class__.__mro__ }}", "{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "{{ messages.append(1) }}"):
        with pytest.raises(un.UnspoolError, match="template"):
            ChatTemplate(escape + "{{ (messages.append)(1) if false }}")(wrong)
    with pytest.raises(un.ParameterError, match="not both"):
        un.load(folder).generate("Hi", messages=wrong)
    with pytest.raises(un.ParameterError, match="give a prompt"):
        un.load(folder).generate()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(un.MissingExtra, match=r"pip install 'unspool\[chat\]'"):
        un.load(folder).generate(messages=wrong)


def test_models_without_a_template_refuse(tmp_path):
    assert "no chat template" in refusal("Hi", "--chat")
    with pytest.raises(un.Unsupported, match="no chat template"):
        un.LanguageModel(un.load().model, read_tokenizer(BUNDLED)).generate(messages=TALKS["one"])
    place = tiny_folder(tmp_path / "broken")
    (place / "chat_template.json").write_text("{")
    lm = un.load(place)
    assert lm.generate("a", max_new_tokens=1).tokens
    with pytest.raises(un.ModelError, match="cannot read"):
        lm.generate("a", chat=True)
