"""One event, top to bottom: broker, triggers, delivery."""
