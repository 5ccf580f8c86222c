"""Bandwise: one network per spectral sub-band, trained with no communication, fused into one classifier."""
