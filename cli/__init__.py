"""The command line, installed as the package numbacnn_cli: one file a command, found through the group numbacnn.commands."""
