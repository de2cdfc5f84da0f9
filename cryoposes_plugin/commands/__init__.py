"""What the program does, one folder a command: its parameters, its inputs, its run, its report and its pictures."""
