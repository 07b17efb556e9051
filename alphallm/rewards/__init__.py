"""Scores of steps and solutions: checked, computed, learned and combined.

A reward is a function of solutions and gives `Scores`: one number for each
step, one for the whole. What is learned is a network with a head (`model`), by
the losses of `losses`, from the labels of `labels`.
"""

from alphallm.rewards import model, world
from alphallm.rewards.base import Reward, Scores, Solution

__all__ = ["Reward", "Scores", "Solution", "model", "world"]
