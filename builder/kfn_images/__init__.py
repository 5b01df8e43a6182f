"""kfn's own images, made by kfn's own builder."""
