"""The store: records, queue, keys and audit behind `watcher.ports.Store`, in Redis or in memory."""
