"""The inside of the sandbox: how a process gives up its rights, and then becomes a program. Standard library only."""
