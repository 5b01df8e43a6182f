"""A Deployment controller and a kubelet that runs pods as local processes."""
