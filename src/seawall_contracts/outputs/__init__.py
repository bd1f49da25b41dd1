"""What a run leaves for people and machines: report.html, summary.csv, results.jsonl, run.json."""

from seawall_contracts.outputs.report import write_report
from seawall_contracts.outputs.summary import write_summary

__all__ = ["write_report", "write_summary"]
