"""The tables service: the DynamoDB API on the store."""
