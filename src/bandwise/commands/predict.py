"""`bandwise predict RUN PATHS...`: classify files and folders."""
