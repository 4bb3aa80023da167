"""The commands of the program, a file each: parse, call, hand the result to a view. What a command needs is imported when it runs."""
