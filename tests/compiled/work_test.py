"""Tests of the work of compiled programs, against counts by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alphallm.compiled import hlo, loops, work


def read(f, *args, **assumed):
  text = jax.jit(f).lower(*args).compile().as_text()
  return work.of(hlo.parse(text), assumed)


def test_rounds_multiply():
  m = jnp.ones((16, 16))

  def f(x, n):
    inner = lambda _, y: y @ m
    outer = lambda y, _: (jax.lax.fori_loop(0, 5, inner, y), None)
    x, _ = jax.lax.scan(outer, x, None, 3)
    return walk(x, n) @ m

  def walk(x, n):
    return jax.lax.while_loop(
      lambda c: jnp.any(c[1] > c[2]), lambda c: (c[0] @ m, c[1] - 1, c[2]),
      (x, n, n - 4),
    )[0]  # fmt: skip

  args = jnp.ones((8, 16)), jnp.arange(3)
  one = 2 * 8 * 16 * 16
  works, found = read(f, *args)
  assert work.total(works, "flops") == (15 + 1 + 1) * one
  assert [x.source for x in found].count("unknown") == 1
  name = "work_test.test_rounds_multiply.<locals>.walk"
  works, found = read(f, *args, **{name: 7})
  assert work.total(works, "flops") == (15 + 7 + 1) * one
  assert loops.Loop(name, 7, "assumed") in found
  assert sorted(x.times for x in found if x.source == "exact") == [3, 5]


def test_without_loops_it_is_what_the_compiler_counts():
  f = jax.jit(lambda a, b, c: jnp.einsum("bij,bjk->bik", a @ b, c))
  shapes = (3, 128, 64), (64, 128), (3, 128, 32)
  compiled = f.lower(*map(jnp.ones, shapes)).compile()
  works, _ = work.of(hlo.parse(compiled.as_text()), {})
  cost = compiled.cost_analysis()
  assert work.total(works, "flops") == cost["flops"]
  np.testing.assert_allclose(
    work.total(works, "bytes"), cost["bytes accessed"], rtol=0.25
  )


def test_a_loop_that_may_end_sooner_has_a_bound():
  m = jnp.ones((16, 16))

  def f(x):
    return jax.lax.while_loop(
      lambda c: (c[0] < 9) & ~jnp.all(c[1] > 2),
      lambda c: (c[0] + 1, c[1] @ m),
      (2, x),
    )

  works, (loop,) = read(f, jnp.ones((8, 16)))
  assert (loop.times, loop.source) == (7, "bound")
  assert work.total(works, "flops") == 7 * 2 * 8 * 16 * 16


LOOP = """
%body (t: (s32[])) -> (s32[]) {{
  %t = (s32[]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %k = s32[] constant({step})
  %j = s32[] add(%i, %k)
  ROOT %u = (s32[]) tuple(%j)
}}

%condition (t: (s32[])) -> pred[] {{
  %t = (s32[]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %n = s32[] constant({stop})
  ROOT %c = pred[] compare({sides}), direction={direction}
}}

ENTRY %main (x: s32[]) -> (s32[]) {{
  %x = s32[] {start}
  %y = s32[] copy(%x)
  %t = (s32[]) tuple(%y)
  ROOT %w = (s32[]) while(%t), condition=%condition, body=%body
}}
"""


@pytest.mark.parametrize(
  ("changes", "times", "source"),
  [
    (dict(), 8, "exact"),
    (dict(step=3), 3, "exact"),
    (dict(direction="LE"), 9, "exact"),
    (dict(sides="%n, %i", direction="GT"), 8, "exact"),
    (dict(stop=1), 0, "exact"),
    (dict(start="parameter(0)"), 10, "bound"),
    (dict(direction="NE"), 1, "unknown"),
  ],
)
def test_how_loops_count(changes, times, source):
  given = dict(
    step=1, stop=10, sides="%i, %n", direction="LT", start="constant(2)"
  )
  _, (loop,) = work.of(hlo.parse(LOOP.format(**given | changes)), {})
  assert (loop.times, loop.source) == (times, source)


def test_the_heaviest_branch_counts():
  m = jnp.ones((16, 16))
  f = lambda flag, x: jax.lax.cond(flag, lambda x: x @ m @ m @ m, jnp.sin, x)
  works, _ = read(f, True, jnp.ones((8, 16)))
  assert work.total(works, "flops") == 3 * 2 * 8 * 16 * 16


def test_slices_and_updates_count_as_such():
  rows, width, times = 4096, 64, 50

  def f(pool, x):
    def put(pool, i):
      row = jax.lax.dynamic_slice_in_dim(pool, i * 7, 1)
      row = jnp.sin(row) + x
      return jax.lax.dynamic_update_slice_in_dim(pool, row, i, 0), row.sum()

    return jax.lax.scan(put, pool, jnp.arange(times))

  text = (
    jax.jit(f, donate_argnums=0)
    .lower(jnp.ones((rows, width)), jnp.ones((1, width)))
    .compile()
    .as_text()
  )
  works, _ = work.of(hlo.parse(text), {})
  moved, row = work.total(works, "bytes"), 4 * width
  assert 2 * times * row <= moved <= 16 * times * row
  assert moved < 2 * 4 * rows * width


CONVOLUTION = """
ENTRY %main (x: bf16[1], w: bf16[1]) -> bf16[1] {{
  %x = bf16[{left}] parameter(0)
  %w = bf16[{right}] parameter(1)
  ROOT %c = bf16[{out}] convolution(%x, %w), window={{{window}}}, \
dim_labels={labels}
}}
"""


def test_products_that_tpus_write_as_convolutions():
  # 14 heads as a window over one place, padded on both sides: each output sees
  # one product of 896, not 14.
  text = CONVOLUTION.format(
    left="4,1,896",
    right="14,896,64",
    out="4,14,64",
    window="size=14 pad=13_13 rhs_reversal=1",
    labels="b0f_0io->b0f",
  )
  works, _ = work.of(hlo.parse(text), {})
  assert work.total(works, "flops") == 2 * 4 * 14 * 64 * 896
  left, kernel, result = 5, 3, 4
  for pad, stride, spread, step in itertools.product(
    (0, 2), (1, 2), (1, 3), (1, 2)
  ):
    text = CONVOLUTION.format(
      left=f"7,{left},6",
      right=f"{kernel},6,8",
      out=f"7,{result},8",
      window=f"size={kernel} stride={stride} pad={pad}_1 lhs_dilate={spread} "
      f"rhs_dilate={step}",
      labels="b0f_0io->b0f",
    )
    line = np.zeros(100)
    line[pad : pad + left * spread : spread] = 1  # where there is an input
    ends = pad + (left - 1) * spread + 1
    line[ends:] = 0
    pairs = sum(
      line[r * stride + k * step] for r in range(result) for k in range(kernel)
    )
    works, _ = work.of(hlo.parse(text), {})
    assert work.total(works, "flops") == 2 * 7 * 8 * 6 * pairs


COLLECTIVES = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %s = f32[] add(%a, %b)
}

%fused (p: f32[8,16]) -> f32[4,16] {
  %p = f32[8,16] parameter(0)
  %r = f32[8,16] all-reduce(%p), channel_id=1, to_apply=%add
  %z = s32[] constant(0)
  ROOT %d = f32[4,16] dynamic-slice(%r, %z, %z), dynamic_slice_sizes={4,16}
}

%begun (p: f32[4,16]) -> (f32[4,16], u32[]) {
  %p = f32[4,16] parameter(0)
  %g = f32[8,16] all-gather(%p), channel_id=1, dimensions={0}, \
frontend_attributes={chain_id="0"}
  ROOT %c = (f32[4,16], u32[]) custom-call(%g), \
custom_call_target="AsyncCollectiveStart"
}

%goes_on (p: f32[4,16], q: u32[]) -> f32[8,16] {
  %p = f32[4,16] parameter(0)
  %q = u32[] parameter(1)
  %g = f32[8,16] all-gather(%p), channel_id=1, dimensions={0}, \
frontend_attributes={chain_id="0"}
  ROOT %e = f32[8,16] exponential(%g)
}

%ended (p: f32[4,16], q: u32[]) -> f32[8,16] {
  %p = f32[4,16] parameter(0)
  %q = u32[] parameter(1)
  %g = f32[8,16] all-gather(%p), channel_id=1, dimensions={0}
  ROOT %c = f32[8,16] custom-call(%p, %g, %q), \
custom_call_target="AsyncCollectiveDone"
}

%body (t: (s32[], f32[8,16])) -> (s32[], f32[8,16]) {
  %t = (s32[], f32[8,16]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %x = f32[8,16] get-tuple-element(%t), index=1
  %f = f32[4,16] fusion(%x), kind=kCustom, calls=%fused
  %g = (f32[4,16], f32[8,16]) all-gather-start(%f), dimensions={0}
  %h = f32[8,16] all-gather-done(%g)
  %k = (f32[4,16], u32[]) fusion(%f), kind=kCustom, calls=%begun
  %l = f32[4,16] get-tuple-element(%k), index=0
  %m = u32[] get-tuple-element(%k), index=1
  %o = f32[8,16] fusion(%l, %m), kind=kCustom, calls=%goes_on
  %n = f32[8,16] fusion(%l, %m), kind=kCustom, calls=%ended
  %one = s32[] constant(1)
  %j = s32[] add(%i, %one)
  ROOT %u = (s32[], f32[8,16]) tuple(%j, %h)
}

%condition (t: (s32[], f32[8,16])) -> pred[] {
  %t = (s32[], f32[8,16]) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %n = s32[] constant(6)
  ROOT %c = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[8,16]) -> (s32[], f32[8,16]) {
  %x = f32[8,16] parameter(0)
  %zero = s32[] constant(2)
  %t = (s32[], f32[8,16]) tuple(%zero, %x)
  ROOT %w = (s32[], f32[8,16]) while(%t), condition=%condition, body=%body
}
"""


def test_collectives_by_kind():
  works, (loop,) = work.of(hlo.parse(COLLECTIVES), {})
  assert (loop.times, loop.source) == (4, "exact")
  size = 4 * 8 * 16
  assert work.collectives(works) == {
    "all-reduce": {"count": 4, "bytes": 4 * size},
    # One that is started and awaited, and one in three fusions; all share a
    # channel, as within `shard_map`.
    "all-gather": {"count": 8, "bytes": 8 * size},
  }
