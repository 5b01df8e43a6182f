"""What the gateway tells of itself: counts and metrics, and, where asked for, an access log and spans. A request pays for what is on."""
