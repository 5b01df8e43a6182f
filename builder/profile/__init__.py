"""What a function's start costs: its handler is imported once in a clean process, and every import's time is kept."""
