"""From a Service to Configuration, Route, Revision, Deployment."""
