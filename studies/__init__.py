"""What we found: one question per file, each with its control, its figure and its verdict in words."""
