"""What operators deploy: the Serve config (`serve.yaml`, where to begin), its check, and a Grafana dashboard.

Owns no behaviour of the service: fields of the config are in `services.config`.
"""
