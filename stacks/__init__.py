"""The Pulumi programs, written out: one file a stack. They know nothing of the orchestrator.

A program takes one frozen contract (``contracts.py``) and hands what it makes to the run as a plain
future the moment it exists; nothing of Pulumi crosses the border.
"""
