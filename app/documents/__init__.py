"""Fetches the documents that a platform announces before they are no longer to be had, and hands them out.

That one was announced is written by the processor; the queue of this work is the jobs room's.
"""
