"""Measures Mixlingual and its peers on the same work, from the root of the repository."""
