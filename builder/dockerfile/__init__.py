"""An image from a Dockerfile: made by buildah, which runs its steps, and read back as the whole image."""
