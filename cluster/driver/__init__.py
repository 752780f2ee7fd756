"""Jobs from the store, crews, policy."""
