"""Hardware that tests resolve a configuration for."""

from orpheus_server.runtime.hardware import Hardware

PLAIN_CPU = Hardware(has_cuda=False, has_bfloat16=False, can_compile=False)
CUDA = Hardware(has_cuda=True, has_bfloat16=True, can_compile=True)
