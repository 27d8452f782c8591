"""Changes sources, tokens, secrets and keys over the API, and answers the audit log.

The changes themselves are those of the command line, kept in the accounts room; here is settled who may make which.
"""
