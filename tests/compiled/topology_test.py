"""Tests of finding TPUs that are not there."""

import pytest

from alphallm import values
from alphallm.compiled import topology

pytest.importorskip("libtpu")


def test_slices_by_the_number_of_their_chips():
  devices = topology.devices_of("v5e-16")
  assert len(devices) == 16 == len(topology.devices_of("v5e:4x4"))
  assert devices[0].device_kind == "TPU v5 lite"
  assert len(topology.devices_of("v6e-256")) == 256
  assert topology.devices_of("v5p:2x2x2")[0].device_kind == "TPU v5"


@pytest.mark.parametrize("name", ["v5e:3x3", "v5e-17", "cat", "v3:2x2"])
def test_what_is_no_tpu_of_ours(name):
  with pytest.raises(values.UserError, match=f"--topology={name}: ") as error:
    topology.devices_of(name)
  assert "\n" not in str(error.value)
