"""Tests of the folder for a rented GPU."""
