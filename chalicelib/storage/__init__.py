"""DynamoDB, known here alone: items, the unit of work, lists, the access index."""
