"""Chat templates: written as models' files have them, bounded whatever they try."""

import json
import time

import pytest

pytest.importorskip("jinja2", reason="needs the extra serve")

from glassformer.server.errors import RequestError
from glassformer.server.openai.templates import ChatTemplate, TemplateFileError, read_template

USER = [{"role": "user", "content": "hi"}]


def render(source, messages=USER, **names):
    return ChatTemplate(source, names).render(messages)


def test_what_templates_use():
    source = (
        "{%- for m in messages %}\n{% if loop.first and m.role != 'user' %}{{ raise_exception('first') }}{% endif %}\n"
        "{% set text = m.content.strip().split('</think>')[-1] | trim %}{{ m['role'] + ': ' + text + eos_token }}\n"
        "{% if loop.index0 > 5 %}{% break %}{% endif %}{% endfor %}{{ {'a': 1} | tojson }}"
    )
    assert "user: hi</s>" in render(source, eos_token="</s>")
    assert render("{{ 'abc'.replace('b', 'x') }}{{ 3 * 4 }}{{ 7 % 2 }}") == "axc121"
    with pytest.raises(RequestError, match="first"):
        render(source, [{"role": "system", "content": "a"}], eos_token="")


HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os }}", "{{ 'a' * 10**9 }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{{ 10 ** 10 ** 10 }}",
    "{% set a = 'aaaaaaaaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 30 + "{{ a }}", "{{ range(10**9) }}",
    "{% set a = 'aaaaaaaaaaaaaaaa' %}" + "{% set a = a + a %}" * 30, "{{ 'a'.center(10**9) }}",
    "{{ '%099999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}", "{{ 'a' | center(999999999) }}", "{{ ('a' * 5).__doc__ }}", "{{ x.y.z }}",
    "{% if",
    "{% include '/etc/passwd' %}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ messages.append(1) }}",
    "{% set a = ('%s' ~ 1) | replace('', 'aaaaaaaaaaaaaaaa') %}" + "{% set a = a | replace('a', a) %}" * 8 + "{{ a }}",
    "{{ ['a' , 'b'] | join('x') | wordwrap(1) }}", "{{ 1 // 0 }}", "{{ messages[7].content.x }}",
    "{{ lipsum(n=9999) }}",
]  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE)
def test_templates_that_want_too_much(source):
    start = time.monotonic()
    with pytest.raises(RequestError) as caught:
        render(source)
    assert (caught.value.status, caught.value.code) == (400, "chat_template")
    assert len(str(caught.value)) < 500
    assert time.monotonic() - start < 2


def test_special_tokens_in_messages_stay_text(story):
    end = "<|endoftext|>"
    special = story.tokenizer.special_tokens[end]
    template = ChatTemplate("{{ bos_token }}{{ messages[0].content | trim }}{{ bos_token }}", {"bos_token": end})
    ids = template.ids([{"role": "user", "content": f" say {end} now "}], story.tokenizer)
    assert (ids[0], ids[-1]) == (special, special)
    assert ids.count(special) == 2
    assert story.tokenizer.decode(ids[1:-1]) == f"say {end} now"


def test_where_templates_are_found(tmp_path):
    assert read_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "A", "bos_token": {"content": "<s>"}, "eos_token": "</s>",
                                  "pad_token": None}))  # fmt: skip
    assert read_template(tmp_path) == ChatTemplate("A", {"bos_token": "<s>", "eos_token": "</s>"})
    several = [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]
    config.write_text(json.dumps({"chat_template": several}))
    assert read_template(tmp_path) == ChatTemplate("D", {})
    (tmp_path / "chat_template.jinja").write_text("J")
    assert read_template(tmp_path) == ChatTemplate("J", {})
    config.write_text("{")
    with pytest.raises(TemplateFileError, match=r"tokenizer_config\.json"):
        read_template(tmp_path)
