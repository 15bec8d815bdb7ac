"""What users call: `Study` and `load_study`, `simulate`, `train`, `replay`."""
