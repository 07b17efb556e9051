"""Files that hold weights, read without trust in what they say."""
