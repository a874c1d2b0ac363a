"""Tests of the application as it ships: packaged, deployed on the emulator, over HTTP."""
