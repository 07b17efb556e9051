"""Renders a chat template; runs in a child process."""

import datetime
import functools
import json
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

_MOST_CHARACTERS = 1_000_000


def answer(request: dict[str, Any]) -> str:
  """Return what `request["template"]` makes of `request["variables"]`.

  The environment is that of transformers' `apply_chat_template`.

  Raises:
    ValueError: if the text would be longer than a million characters.
    jinja2.TemplateError: if the template is malformed, or raises.
  """
  parts, size = [], 0
  for part in _compile(request["template"]).generate(**request["variables"]):
    size += len(part)
    if size > _MOST_CHARACTERS:
      raise ValueError(f"more than {_MOST_CHARACTERS} characters")
    parts.append(part)
  return "".join(parts)


class _Generation(jinja2.ext.Extension):
  """`{% generation %}` around what the model says: its body, as it is."""

  tags = {"generation"}

  def parse(self, parser):
    next(parser.stream)
    return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.lru_cache
def _compile(template: str) -> jinja2.Template:
  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[_Generation, jinja2.ext.loopcontrols],
  )
  environment.filters["tojson"] = _to_json
  environment.globals["raise_exception"] = _raise
  environment.globals["strftime_now"] = _now
  return environment.from_string(template)


def _raise(message):
  raise jinja2.TemplateError(message)


def _now(form):
  return datetime.datetime.now().strftime(form)


def _to_json(x, ensure_ascii=False, indent=None, **options):
  return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, **options)
