"""Reports: HTML, the style of figures, the screen."""
