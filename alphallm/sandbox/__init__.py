"""Other people's text, worked on in processes of their own.

A template or a formula can ask for any amount of time and memory. `workers`
hands it to a child process with a limit of memory, which is killed when its
time is over. What is run there (`child`, `maths`, `template`) does not import
JAX.

A program can do anything. `isolation` runs it behind walls (`jail`, `runner`):
apart from the network, the files and the processes of the machine.
"""
