"""What a compiled program says of itself: its work, and how long that takes."""
