"""The database: where it is, its tables and how it starts; what is written and asked is left to the other rooms."""
