"""Sphinx configuration."""

project = "Bandwise"
author = "The Bandwise developers"
copyright = "2026, The Bandwise developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Bandwise"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
exclude_patterns = ["_build"]
autodoc_typehints = "description"
suppress_warnings = ["myst.header"]
