"""One event, top to bottom: ingress, stream, one consumer per Trigger, filter, deliver, settle, reply. Read app.py first."""
