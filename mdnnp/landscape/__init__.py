"""The energy landscape: minima, saddle points, vibrations."""
