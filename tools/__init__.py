"""Programs that make files which the package ships; run them from the root of the repository."""
