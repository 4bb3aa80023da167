"""The command line: the program, its options, its terminal, and a file for each command."""
