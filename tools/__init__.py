"""What makes the tables and charts of this repository from its recorded results; no part of the package."""
