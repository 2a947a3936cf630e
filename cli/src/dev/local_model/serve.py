"""Serves a model over an OpenAI-compatible API on a free port, and prints its address."""

import sys
import threading

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
# Two generations at once, which share this context window.
parameters.n_ctx = 8192
parameters.n_parallel = 2

server = xllamacpp.Server(parameters)
print("serving at", server.listening_address, flush=True)
threading.Event().wait()
