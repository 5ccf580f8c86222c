"""Sphinx configuration."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number

project = "Bandwise"
author = "The Bandwise developers"
copyright = "2026, The Bandwise developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# The tutorial is run in a folder of its own whenever these pages are built; an error in it ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"
html_theme = "furo"
html_title = "Bandwise"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
default_role = "code"
suppress_warnings = ["myst.header"]


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    assert not get_node_equation_number(translator, node), "numbered equations are not drawn"
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Write formulas as MathML, which a browser draws from the file alone; MathJax would come from a server."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
