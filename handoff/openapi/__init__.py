"""The API's description: one operation and one schema in one place each, put together as OpenAPI 3.1.

To add a call: write its view, add an Operation to `operations.py` (or to a list of your own, named in `document.py`),
and the schema of what it answers to `schemas.py`. Tests fail until all three agree.
"""
