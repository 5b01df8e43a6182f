"""Sources that read from message systems: NATS and Kafka. A message is acknowledged there only when the sink has its event."""
