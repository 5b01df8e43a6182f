"""Node functions: what package.json and its lock say, npm as a process, and the layers of node_modules."""
