"""What operators deploy: the Serve config, a Grafana dashboard, and the check of the former."""
