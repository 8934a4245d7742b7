"""One module per verb, each with ``add(parser)`` and ``run(args, context) -> exit code``; ``verbs.py`` lists them."""
