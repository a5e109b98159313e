"""The pipes room: changes of tables go to queues, declared through the API of EventBridge Pipes."""
