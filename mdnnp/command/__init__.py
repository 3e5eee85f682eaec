"""The command `mdnnp`: one file for each verb."""
