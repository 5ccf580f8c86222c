"""Tests here import timm or torchmetrics themselves, before any module of ours does."""

from bandwise.compat import ensure_torchvision

ensure_torchvision()
