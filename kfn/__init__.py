"""The nouns every part of kfn shares, and what a function's author imports."""
