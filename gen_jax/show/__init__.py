"""Plain data in, pictures, text and HTML out: grids, plots, tables, pages."""
