"""Who may send and who may read: sources with their tokens and secrets, API keys with their walls, the audit log."""
