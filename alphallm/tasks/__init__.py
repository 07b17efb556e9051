"""Where problems come from, and what checks an answer."""

from alphallm.tasks.base import Task
from alphallm.tasks.blocks_world import BlocksWorld
from alphallm.tasks.countdown import Countdown
from alphallm.tasks.game24 import Game24
from alphallm.tasks.text import Text, on_host

__all__ = ["BlocksWorld", "Countdown", "Game24", "Task", "Text", "on_host"]
