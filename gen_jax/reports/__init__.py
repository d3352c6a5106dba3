"""Pages and tables of finished runs: report, comparison, HYPE."""
