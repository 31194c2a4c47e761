"""What studies found: `summary` of runs, `tables` of `lines` of `rates`, `pictures`, `write`."""
