"""Synchronize user photos from Active Directory to Microsoft 365.

directory ──► people ─┐                                        ┌─► cloud photo
  (DirSync)           ├─► match ─► picture ─► decide ─► brakes ─► apply ─► remember ─► report
cloud ─────► accounts ┘    (join)   (Pillow)   (pure)    (pure)    (HTTP)    (SQLite)
  (delta)
"""

__version__ = "0.1.0"
