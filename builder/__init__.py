"""From a source folder to an OCI image."""
