"""Callbox receives what insurance platforms call back with, keeps it, and answers questions about it."""
