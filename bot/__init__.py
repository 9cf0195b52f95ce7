"""The ground floor: the words, the rules and the rows.

Everything two processes must agree on lives here. Nothing here knows a web framework, and nothing here knows
what WhatsApp's JSON looks like. The three wings (connectors, actions, handoff) stand on it; it never looks up.
"""
