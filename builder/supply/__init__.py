"""What is said about an image beside it: SBOM, provenance, signatures, and how they are checked. Read attach.py first."""
