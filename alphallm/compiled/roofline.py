"""How fast a chip could do a program's work, were it always busy."""

import dataclasses
import os
import time
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from alphallm.compiled import work

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """What a device can do at most.

  Attributes:
    name: of it.
    flops: bfloat16 FLOPs a second.
    bandwidth: bytes a second between its main memory and its cores.
    memory: bytes that a program may use.
    links: bytes a second that it sends to its neighbours; 0: not known, and
      collectives cost nothing but their reading and writing.
    is_published: whether these are its maker's figures.
  """

  name: str
  flops: float
  bandwidth: float
  memory: float
  links: float = 0.0
  is_published: bool = True


# By JAX's `device_kind`. Links are one way, half of what is published as
# bidirectional. The memory of a TPU is what its compiler leaves to a program.
CHIPS = {
  "TPU v5 lite": Chip("TPU v5e", 197e12, 819e9, 15.75 * _GIB, 200e9),
  "TPU v5": Chip("TPU v5p", 459e12, 2765e9, 95.74 * _GIB, 600e9),
  "TPU v6 lite": Chip("TPU v6e", 918e12, 1640e9, 31.25 * _GIB, 400e9),
  "NVIDIA A100-SXM4-80GB": Chip("A100", 312e12, 2039e9, 80e9, 300e9),
  "NVIDIA H100 80GB HBM3": Chip("H100", 989e12, 3350e9, 80e9, 450e9),
  "NVIDIA H200": Chip("H200", 989e12, 4800e9, 141e9, 450e9),
}


def seconds(works: Iterable[work.Work], chip: Chip) -> dict[str, float]:
  """Return how long the work takes at least, by what holds it up.

  An instruction takes the longer of its products at the chip's peak and its
  bytes at its bandwidth (Williams et al., 2009); a collective takes what its
  result takes over the links, an all-reduce twice that. One comes after the
  other: nothing overlaps.

  Returns:
    Seconds of the `products`, of the `memory` and of the `links`.
  """
  spent = {"products": 0.0, "memory": 0.0, "links": 0.0}
  for one in works:
    passes = 2 if one.opcode == "all-reduce" else 1
    parts = {
      "products": one.flops / chip.flops,
      "memory": one.bytes / chip.bandwidth,
      "links": passes * one.sent / chip.links if chip.links else 0.0,
    }
    longest = max(parts, key=parts.get)
    spent[longest] += one.times * parts[longest]
  return spent


def of_device(device: jax.Device) -> Chip:
  """Return what a device can do: as published, or else as timed here."""
  chip = CHIPS.get(device.device_kind)
  stats = device.memory_stats() or {}
  memory = stats.get("bytes_limit")
  if memory is None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    memory = chip.memory if chip else pages / jax.local_device_count()
  if chip is not None:
    return dataclasses.replace(chip, memory=memory)
  return Chip(
    name=device.device_kind,
    flops=_timed(device, lambda x: x @ x, 2 * 1024**3, 1024),
    bandwidth=_timed(device, lambda x: x + 1, 2 * 4 * 4096**2, 4096),
    memory=memory,
    is_published=False,
  )


def _timed(device, f, amount, size) -> float:
  """Return how much of its work a function does in a second, at its best."""
  x = jax.device_put(jnp.ones((size, size), jnp.float32), device)
  run = jax.jit(f)
  run(x).block_until_ready()
  best = float("inf")
  for _ in range(5):
    began = time.perf_counter()
    run(x).block_until_ready()
    best = min(best, time.perf_counter() - began)
  return amount / best
