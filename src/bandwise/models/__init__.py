"""Networks: plain torch, sized to the band they see."""

from bandwise.torchvision_compat import ensure_torchvision

ensure_torchvision()
