"""Thin adapters to other programs."""
