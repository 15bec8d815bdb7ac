"""What every room uses: bad input, signals, decimals, formulas, files, threads, the version."""
