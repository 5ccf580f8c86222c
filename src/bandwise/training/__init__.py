"""Trains one branch and writes its logits; knows of no other."""

from bandwise.compat import ensure_torchvision

ensure_torchvision()
