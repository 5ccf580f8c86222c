"""Metrics and crops: tensors in, numbers out."""

from bandwise.torchvision_compat import ensure_torchvision

ensure_torchvision()
