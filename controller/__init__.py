"""The Serving control plane: Service to Configuration and Route, Configuration to Revisions, Revision to Deployment."""
