"""Sequence and Parallel: Channels and Subscriptions that follow from them."""
