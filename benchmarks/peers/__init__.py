"""The peers as contestants. These files run in the peers' environment (benchmarks/requirements.txt), which has no numbacnn."""
