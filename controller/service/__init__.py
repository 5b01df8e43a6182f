"""A Service: the Configuration and the Route that it stands for, and their state as one."""
