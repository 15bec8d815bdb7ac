"""What every room stands on: bad input, signals, decimals, formulas, threads, the version."""
