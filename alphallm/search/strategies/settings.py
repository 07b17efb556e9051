"""What every guided strategy is made of: settings, and what guides it."""

from typing import Any

from alphallm.search.search_config import Settings as Settings
from alphallm.search.strategies import guidance as guidance_lib
from alphallm.tasks import base


def guided(
  strategy: str,
  guidance: guidance_lib.Guidance | None,
  task: base.Task,
  settings: dict[str, Any],
  *,
  of_partial: bool = True,
) -> tuple[guidance_lib.Guidance, Settings]:
  """Return what guides a strategy, and its settings.

  Args:
    strategy: its name, for messages.
    guidance: what it was given; `None`: the value head.
    task: the environment.
    settings: of `Settings`.
    of_partial: whether it scores paths that are under way.

  Raises:
    ValueError: if a setting, or the guidance, makes no sense for it.
  """
  guidance = guidance or guidance_lib.value()
  made = Settings(**settings)
  guidance_lib.check(
    strategy, guidance, task, made.permission, of_partial=of_partial
  )
  return guidance, made
