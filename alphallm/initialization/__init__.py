"""Where the first policy comes from."""
