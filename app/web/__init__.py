"""The pages for people: server-rendered, without scripts and without other hosts."""
