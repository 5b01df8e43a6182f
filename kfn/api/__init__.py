"""Kubernetes' and Knative's resources as typed, frozen objects: types, defaults, validation, CRD schemas. Pure."""
