"""Mixlingual and its peers on the same work; run from the root of the repository."""
