"""The interface for programs under ``/api/v1``: what the pages do, as JSON, with its description.

To add to it: models, a function that answers with one, an `Operation` in its module's table, and
a row in `web_status.roles`. The routes and the OpenAPI description are made from these.
"""
