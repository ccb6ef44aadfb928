"""Logs, traces, metrics, and the files of a deployment."""
