"""Contacts predicted from attention."""
