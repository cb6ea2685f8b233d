"""The durable event log: vocabulary, log, feed."""
