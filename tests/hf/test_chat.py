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
    place = tiny_folder(tmp_path / "chat", vocabulary=inner.get_vocab_size(), positions=64)
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


BEGUN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Sure, "}]
TRIMMED = TURNS.replace("message['content']", "message['content'] | trim")


@pytest.mark.field("F95")
@pytest.mark.parametrize("content", ["Sure, ", "Sure,", "", [{"type": "text", "text": "Sure, "}]])
@pytest.mark.parametrize("template", ["turns", "instructions", "helpers", "trimmed"])
def test_a_turn_that_the_assistant_began_goes_on(template, content):
    """The turn is left open, as by transformers' continue_final_message."""
    if isinstance(content, list) and template != "helpers":
        return
    theirs = chatting({**TEMPLATES, "trimmed": TRIMMED}[template])
    talk = [BEGUN[0], {"role": "assistant", "content": content}]
    expected = theirs.apply_chat_template(talk, tokenize=False, continue_final_message=True)
    assert template_of(theirs)(talk) == expected
    opened = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert template_of(theirs)(talk, {"add_generation_prompt": True}) == opened
    assert talk[-1]["content"] == content


def test_going_on_is_shown(folder):
    lm = un.load(folder)
    out = lm.generate(messages=BEGUN, max_new_tokens=2)
    assert out.prompt.endswith("<|im_start|>assistant\nSure, ")
    assert out.asked == "Sure, "
    assert ChatTemplate("{{ 'new' if add_generation_prompt }}{{ messages[-1].content }}")(BEGUN) == "Sure, "
    with pytest.raises(un.PromptError, match="leaves out the assistant's last message"):
        ChatTemplate("{{ messages[0].content }}")(BEGUN)


THINKING = """{% if tools %}TOOLS {{ tools | tojson }}{% endif %}{% for d in documents or [] %}[{{ d.title }}]{% endfor %}
{{- messages[-1].content }}
{%- if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{{ raise_exception if false }}"""
VARIABLES = [
    {"enable_thinking": False},
    {"enable_thinking": True},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"documents": [{"title": "A", "text": "B"}]},
]


@pytest.mark.field("F96")
@pytest.mark.parametrize("variables", VARIABLES)
def test_variables_of_templates(folder, variables):
    theirs = chatting(THINKING)
    expected = theirs.apply_chat_template(TALKS["one"], tokenize=False, add_generation_prompt=True, **variables)
    assert template_of(theirs)(TALKS["one"], variables) == expected
    (folder / "chat_template.jinja").write_text(THINKING)
    lm = un.load(folder)
    assert lm.generate(messages=TALKS["one"], template=variables, max_new_tokens=1).prompt == expected
    assert lm.generate("  What is a king? ", chat=True, template=variables, max_new_tokens=1).prompt == expected


def test_variables_that_nobody_reads_are_refused(folder):
    with pytest.raises(un.ParameterError, match=r"does not read enable_thinkin; it reads documents, enable_thinking, tools"):
        ChatTemplate(THINKING)(TALKS["one"], {"enable_thinkin": True})
    with pytest.raises(un.ParameterError, match="does not read messages"):
        ChatTemplate(THINKING)(TALKS["one"], {"messages": []})
    with pytest.raises(un.PromptError, match="plain data"):
        ChatTemplate(THINKING)(TALKS["one"], {"tools": [print]})
    with pytest.raises(un.ParameterError, match="is for messages"):
        un.load(folder).generate("Hi", template={"tools": []})


def test_a_template_for_tools(folder):
    named = {"default": "plain", "tool_use": "{{ tools[0].name }}"}
    assert ChatTemplate(named)(TALKS["one"], {"tools": [{"name": "f"}]}) == "f"
    assert ChatTemplate(named)(TALKS["one"]) == "plain"
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools[0].name }}")
    lm = un.load(folder)
    assert lm.render(TALKS["one"], {"tools": [{"name": "f"}]}) == "f"
    assert lm.render(TALKS["one"]).startswith("<|im_start|>user")


def test_the_program_shows_the_answer_and_of_several_what_the_user_said(folder, tmp_path):
    """Not the template that was made of it."""
    for more in ((), ("--no-stream",), ("-d", "beam(2)"), ("-d", "sample(2)")):
        code, text, _ = called("Hi there", "--chat", "-m", str(folder), "--max-new-tokens", "2", *more)
        assert code == 0
        assert text
        assert "Hi there" not in text
        assert "im_start|>user" not in text
    lm = un.load(folder)
    answer = lm.generate("Hi there", chat=True, max_new_tokens=2).text
    assert called("Hi there", "--chat", "-m", str(folder), "--max-new-tokens", "2")[1] == answer + "\n"
    (tmp_path / "talks.txt").write_text("Hi there\nGood day\n")
    _, text, _ = called("-f", str(tmp_path / "talks.txt"), "--chat", "-m", str(folder), "--max-new-tokens", "2")
    assert text.startswith("Hi there\n")
    assert "\nGood day\n" in text
    assert "im_start|>user" not in text
    assert "im_start" not in lm.generate("Hi", chat=True, max_new_tokens=1)._repr_html_().split("</p>")[1][:40]
    (folder / "chat_template.jinja").write_text(THINKING)
    how = ("--chat", "--template", '{"enable_thinking": false}', "-m", str(folder), "--max-new-tokens", "2", "-o", "json")
    _, text, _ = called("Hi", *how)
    assert json.loads(text)[0]["prompt"] == "Hi<think></think>"
    assert "--template takes a JSON object" in refusal("Hi", "--chat", "--template", "[]", "-m", str(folder))
    several = lm.generate(["a", "b"], chat=True, max_new_tokens=1)
    assert [o.asked for o in several] == ["a\n", "b\n"]
