"""jobctl: the command line. A client like any other; it starts the supervisor as a program and never imports it."""
