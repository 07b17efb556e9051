"""Where problems come from, and what checks an answer."""

from alphallm.tasks.base import Task
from alphallm.tasks.blocks_world import BlocksWorld
from alphallm.tasks.countdown import Countdown
from alphallm.tasks.game24 import Game24
from alphallm.tasks.grade_school import GradeSchool
from alphallm.tasks.imagination import Imagination
from alphallm.tasks.long_thoughts import Thoughts
from alphallm.tasks.programs import Programs
from alphallm.tasks.proposals import Proposals
from alphallm.tasks.puzzles import Puzzles
from alphallm.tasks.questions import Questions
from alphallm.tasks.sums import Sums
from alphallm.tasks.text import Text, on_host

__all__ = [
  "BlocksWorld",
  "Countdown",
  "Game24",
  "GradeSchool",
  "Imagination",
  "Proposals",
  "Programs",
  "Puzzles",
  "Questions",
  "Sums",
  "Task",
  "Text",
  "Thoughts",
  "on_host",
]
