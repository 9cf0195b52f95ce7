"""The rows all processes share. Verbs take a transaction and never commit; each table has one writer module."""
