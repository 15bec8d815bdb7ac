"""The points of a study: axes, grid and formulas, and the parameters at each point."""
