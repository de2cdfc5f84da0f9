"""Bare pytest would collect the linked folders a second time under another name."""

collect_ignore = ["tests", "protocols"]
