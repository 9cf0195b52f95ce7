"""Every body we send, against Meta's own schema and against ours."""
