"""Metrics and crops: tensors in, numbers out."""

from bandwise.compat import ensure_torchvision

ensure_torchvision()
