"""The official MCP conformance suite, directly and through the gateway (issue 3)."""
