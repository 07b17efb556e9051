"""TPUs that programs are compiled for, of which none is needed."""

import importlib.util
import os
from typing import Any

from jax.experimental import topologies

from alphallm import values
from alphallm.compiled import roofline

# Slices by the number of their chips, where the chips lie in a plane.
_PLANES = {
  "4": "2x2",
  "8": "2x4",
  "16": "4x4",
  "32": "4x8",
  "64": "8x8",
  "128": "8x16",
  "256": "16x16",
}


# libtpu would ask the network on what machine it is, complain where it is not
# told, and let one process at a time load it.
_ALONE = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5litepod-16",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def devices_of(topology: str) -> list[Any]:
  """Return the devices of a TPU topology, none of which is there.

  Raises:
    UserError: if no such TPU is known.
  """
  name, _, size = topology.partition("-")
  if name in ("v5e", "v6e") and size in _PLANES:
    topology = f"{name}:{_PLANES[size]}"
  for name, value in _ALONE.items():
    os.environ.setdefault(name, value)
  try:
    found = topologies.get_topology_desc(
      platform="tpu", topology_name=topology
    ).devices
  except Exception as error:  # of several kinds, one of them private
    if importlib.util.find_spec("libtpu") is None:
      raise values.UserError(
        "--topology needs libtpu: pip install 'alphallm[tpu]'"
      ) from error
    raise values.UserError(
      f"--topology={topology}: {str(error).splitlines()[0]}; there are v5e-4 to"
      " v5e-256 (v5e:2x2 to v5e:16x16), the same of v6e, and v5p:2x2x1 and more"
    ) from error
  if found[0].device_kind not in roofline.CHIPS:
    raise values.UserError(
      f"--topology={topology}: a {found[0].device_kind} is not known"
    )
  return list(found)
