"""kfn verify-bus: what each file does is in run.py, which is the story."""
