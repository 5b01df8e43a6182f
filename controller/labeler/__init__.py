"""The labels by which the autoscaler, garbage collection and kn see whether a Revision gets traffic."""
