"""The ground: errors, units, files, reports, inputs, compilation. Nothing here knows atoms."""
