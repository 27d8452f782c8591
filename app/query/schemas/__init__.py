"""The shapes of what is answered, for the OpenAPI document and the tests; rows are shaped by hand beside each list.

Which of the fields are personal is told in `app.query.personal` alone.
"""
