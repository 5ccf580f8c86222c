"""Tests here import timm or torchmetrics themselves, before any module of ours does."""

from bandwise.torchvision_compat import ensure_torchvision

ensure_torchvision()
