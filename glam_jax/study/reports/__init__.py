"""What studies found: `summary` of the runs, `tables` of `lines` of `rates`, `pictures`; `write` them."""
