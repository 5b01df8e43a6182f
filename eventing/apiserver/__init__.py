"""ApiServerSource: changes of the objects of an API server, told as events."""
