"""What every part of kfn needs to be a process of its own on a cluster. Read run.py first; a module a part says what is in it."""
