"""A Revision: the Deployment and Services that run it, and what its pods say about its health."""
