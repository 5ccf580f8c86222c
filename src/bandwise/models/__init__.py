"""Networks: plain torch, sized to the band they see."""

from bandwise.compat import ensure_torchvision

ensure_torchvision()
