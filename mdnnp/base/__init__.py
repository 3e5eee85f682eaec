"""The base of all other rooms: errors, units, files, reports, inputs, compilation. Nothing here depends on atoms."""
