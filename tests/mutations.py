"""Files with changes that no one meant."""

from hypothesis import strategies as st


@st.composite
def mutated(draw, content: bytes):
  """Draw a content with bytes changed, put in and cut off."""
  content = bytearray(content)
  for _ in range(draw(st.integers(1, 3))):
    at = draw(st.integers(0, max(0, len(content) - 1)))
    match draw(st.sampled_from(["change", "insert", "delete", "cut"])):
      case "change":
        content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
      case "insert":
        content[at:at] = draw(st.binary(min_size=1, max_size=8))
      case "delete":
        del content[at : at + draw(st.integers(1, 8))]
      case "cut":
        del content[at:]
  return bytes(content)
