"""The command line: one module a family of commands, put together in `program`.

What the commands do is done in the rooms below; here their words are read and their answers shown.
"""
