"""How a gateway tells an autoscaler in another process what load there is: `report` is the LoadSink, `wire` its connection."""
