"""Helpers for the tests of programs that submit jobs, and of the jobs themselves: what ``jobyard.testing`` gives.

Nothing here starts a process or needs a supervisor. Not imported unless asked for.
"""
