"""Tests of how fast a chip could be."""

import jax
import pytest

from alphallm.compiled import roofline, work

CHIP = roofline.Chip("chip", flops=100.0, bandwidth=10.0, memory=1.0, links=5.0)


def test_each_instruction_takes_its_longest_part():
  works = [
    work.Work("fusion", times=3, flops=200, bytes=10),  # 2 s of products
    work.Work("fusion", times=2, flops=100, bytes=50),  # 5 s of memory
    work.Work("all-gather", times=1, sent=20),  # 4 s of links
    work.Work("all-reduce", times=1, sent=20),  # twice that
  ]
  spent = roofline.seconds(works, CHIP)
  assert spent == pytest.approx({"products": 6, "memory": 10, "links": 12})


def test_a_device_without_published_figures_is_timed():
  chip = roofline.of_device(jax.devices()[0])
  assert not chip.is_published
  assert 1e8 < chip.flops < 1e15 and 1e8 < chip.bandwidth < 1e13
  assert 1e8 < chip.memory < 1e14
