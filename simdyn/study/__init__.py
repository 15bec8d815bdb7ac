"""What a study is: its file, design, checks, coordinates and blocks. Nothing here runs it."""
