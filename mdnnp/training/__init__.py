"""Training: labelled data, errors against it, reports."""
