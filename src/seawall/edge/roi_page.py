"""The return on investment as a page: the result, the arithmetic, the stack, and what it all depends on."""

import html
from collections.abc import Sequence
from typing import Any


def as_page(told: dict[str, Any]) -> str:
    """Return a page: the result, the arithmetic, the stack, the tornado."""
    steps = "".join(
        f"<tr><td>{html.escape(one['what'])}<td>{html.escape(one['how'])}<td>${one['usd']:,.2f}"
        for one in told["steps"]
    )
    stack = "".join(
        f"<tr><td>{html.escape(one['name'])}<td>{one['quantity']:g} x ${one['usd_month']:,.0f}<td>${one['total_usd_month']:,.0f}"
        for one in told["infrastructure"]
    )
    given = told["assumptions"]
    how = f"{given['contracts']:,.0f} x ${given['cost_per_contract']:,.2f}"
    by_hand = f"<tr><td><b>by hand</b><td>{how}<td><b>${told['manual_total_usd']:,.2f}</b>"
    warned = "".join(f"<li>{html.escape(one)}" for one in told["warnings"])
    low, high = told["saving_usd_95"]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Return on investment</title><style>body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem;"
        "color:#1d2733;background:#fbfbf9}table{border-collapse:collapse;width:100%}td{padding:.3rem .6rem;border-top:1px solid #ddd}"
        "td:last-child{text-align:right}h1 b{color:#0b6e4f}svg{width:100%}li{color:#8a3b00}</style>"
        f"<h1>Saves <b>${told['saving_usd']:,.0f}</b> of ${told['manual_total_usd']:,.0f} ({told['saving_percent']:.1f} %)</h1>"
        f"<p>Between ${low:,.0f} and ${high:,.0f} (95 %). Pays from {told['break_even_contracts'] or 'no number of'} contracts on."
        f"<ul>{warned}</ul><h2>Arithmetic</h2><table>{by_hand}{steps}<tr><td><b>with agents</b><td><td><b>${told['ai_total_usd']:,.2f}</b></table>"
        f"<h2>What it depends on</h2>{_tornado_svg(told['tornado'])}<h2>Infrastructure, a month</h2><table>{stack}</table>"
    )


def _tornado_svg(bars: Sequence[dict[str, Any]]) -> str:
    """Draw the saving from each input's least to its most, the values beside the bar."""
    ends = [value for bar in bars for value in bar["saving_usd"]]
    least, most = min(ends), max(ends)
    scale = 300 / ((most - least) or 1)
    rows: list[str] = []
    for place, bar in enumerate(bars):
        low, high = sorted(bar["saving_usd"])
        x, width, y = 220 + (low - least) * scale, max(1.0, (high - low) * scale), 28 * place
        rows.append(
            f"<text x=0 y={y + 19} font-size=13>{html.escape(bar['input'])}</text>"
            f"<text x={x - 6:.0f} y={y + 19} font-size=11 fill='#667' text-anchor=end>${low:,.0f}</text>"
            f"<text x={x + width + 6:.0f} y={y + 19} font-size=11 fill='#667'>${high:,.0f}</text>"
            f"<rect x={x:.0f} y={y + 6} width={width:.0f} height=18 fill='#3b7ea1'><title>${low:,.0f} to ${high:,.0f}</title></rect>"
        )
    return f"<svg viewBox='0 0 640 {28 * len(bars) + 8}' role=img aria-label='Saving for each input, low and high'>{''.join(rows)}</svg>"
