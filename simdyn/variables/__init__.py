"""What is recorded: the registry of variables, which may be recorded when, and labelled results."""
