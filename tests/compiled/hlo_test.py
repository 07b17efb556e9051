"""Tests of reading compiled programs."""

import jax
import jax.numpy as jnp
import pytest

from alphallm.compiled import hlo

TEXT = """HloModule jit_f, is_scheduled=true

FileNames
1 "/somewhere/alphallm/search/simulation.py"
FunctionNames
1 "select"
FileLocations
1 {file_name_id=1 function_name_id=1 line=116 end_line=116 column=8}
StackFrames
7 {file_location_id=1 parent_frame_id=7}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  ROOT %s = f32[] add(%a, %a)
}

ENTRY %main (x: bf16[4,64]) -> (s32[], f32[8]) {
  %x = bf16[4,64]{1,0:T(8,128)(2,1)} parameter(0)
  %c = ((f32[8]{0}, pred[3]{0}), /*index=1*/f8e4m3fn[8]{0:T(8)S(1)}, s4[3]) \
custom-call(%x), custom_call_target="f(g)", calls={%sum, %other}
  ROOT %w = (s32[], f32[8]) while(%c), condition=%c1, body=%b.1, \
metadata={op_name="a/while" stack_frame_id=7}, dims={0,2}
}
"""


def test_what_a_text_says():
  module = hlo.parse(TEXT)
  assert module.entry == "main" and set(module.computations) == {"sum", "main"}
  x, c, w = module.computations["main"].values()
  assert x.arrays == (hlo.Array("bf16", (4, 64)),) and x.literal == "0"
  assert x.arrays[0].bytes == 512
  assert [a.dtype for a in c.arrays] == ["f32", "pred", "f8e4m3fn", "s4"]
  assert [a.space for a in c.arrays] == [0, 0, 1, 0]
  assert [a.bytes for a in c.arrays] == [32, 3, 8, 2]
  assert c.operands == ("x",) and c.called("calls") == ("sum", "other")
  assert w.is_root and w.opcode == "while" and w.numbers("dims") == (0, 2)
  assert w.called("body", "condition") == ("b.1", "c1")
  assert module.function(w) == "simulation.select"
  assert module.function(c) == ""


def test_what_is_no_program():
  with pytest.raises(ValueError, match="no compiled program"):
    hlo.parse("nothing")


def test_what_the_compiler_prints():
  f = jax.jit(lambda x: jnp.sort(x @ x.T).sum())
  text = f.lower(jnp.ones((3, 5))).compile().as_text()
  module = hlo.parse(text)
  entry = module.computations[module.entry]
  assert [i.is_root for i in entry.values()].count(True) == 1
  every = [i for body in module.computations.values() for i in body.values()]
  assert {"parameter", "sort"} <= {i.opcode for i in every}
