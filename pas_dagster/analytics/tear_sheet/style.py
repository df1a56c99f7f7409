"""The style sheet of a tear sheet. Colours come from `figures.PALETTE`, lengths are multiples of one unit."""

from __future__ import annotations

from pas_dagster.analytics.figures import PALETTE

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:var(--text)/1.5 var(--font);
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:71rem;margin:0 auto;padding:calc(4*var(--u)) calc(2*var(--u)) calc(6*var(--u))}
header h1{font-size:1.875rem;line-height:1.2;letter-spacing:-.015em;font-weight:650;margin:0}
header p{margin:var(--u) 0 0;max-width:44rem;color:var(--muted);font-size:1rem}
header .when{font-size:var(--text)}
h2{font-size:1rem;font-weight:600;line-height:1.3;margin:0}
h2 .unit{font-weight:400;color:var(--muted);font-size:var(--fine);margin-left:.5em}
.finding,.note{color:var(--muted);margin:calc(.5*var(--u)) 0 var(--u);font-size:var(--fine);line-height:1.45}
.note{margin:calc(1.5*var(--u)) 0 0}
.hero{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;margin:calc(3*var(--u)) 0 0;background:var(--rule);
border-block:1px solid var(--rule)}
.hero div{background:var(--page);padding:calc(2*var(--u)) calc(2*var(--u)) calc(2*var(--u)) 0}
.hero div+div{padding-left:calc(2*var(--u))}
.hero dt{color:var(--muted);font-size:var(--fine)}
.hero dd{margin:0;font-size:2rem;line-height:1.25;letter-spacing:-.02em;font-weight:600}
.hero .beside{font-size:var(--fine);letter-spacing:0;font-weight:400;color:var(--muted);line-height:1.5}
.hero div:first-child dd:not(.beside){color:var(--accent)}
.grid{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:calc(5*var(--u)) calc(4*var(--u));
margin-top:calc(5*var(--u))}
.two{grid-column:span 2}.all{grid-column:1/-1}
.stack{display:grid;gap:calc(4*var(--u));align-content:start}
section{min-width:0;display:flex;flex-direction:column}
.chart.small{margin-top:auto}
.chart{display:block;width:100%;height:auto}
.chart text{font:11px var(--font);font-variant-numeric:tabular-nums}
.chart path{stroke-linejoin:round}
.narrow{display:none}
table{border-collapse:collapse;width:100%}
th,td{text-align:right;padding:calc(.5*var(--u)) 0 calc(.5*var(--u)) calc(1.5*var(--u));font-weight:400;
white-space:nowrap;vertical-align:baseline}
th:first-child{text-align:left;padding-left:0}
thead th{color:var(--muted);font-size:var(--fine);border-bottom:1px solid var(--rule)}
#numbers th[scope=row]{white-space:normal}
#numbers th[scope=rowgroup]{font-weight:600;font-size:var(--fine);padding-top:calc(1.5*var(--u))}
#numbers td:nth-child(2){font-weight:600}
#numbers td:nth-child(3){color:var(--muted)}
.cut{display:inline-block;max-width:5rem;overflow:hidden;text-overflow:ellipsis;vertical-align:bottom}
.term{color:inherit;text-decoration:underline dotted var(--other);text-underline-offset:.25em;
text-decoration-thickness:1px}
.term:hover{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.none{color:var(--muted)}
.plain tbody tr{border-bottom:1px solid var(--rule)}
.plain td,.plain tbody th{padding-block:var(--u)}
.plain tbody th{font-weight:600}
.plain .text{text-align:left;white-space:normal}
#holdings th[scope=row]{white-space:normal}
.plain thead .text{text-align:left}
.keys{display:flex;flex-wrap:wrap;gap:0 calc(2*var(--u));margin:0 0 calc(.5*var(--u));font-size:var(--fine)}
.keys i{display:inline-block;width:.75em;height:.75em;margin-right:.5em}
.scroll{overflow-x:auto}
.months{table-layout:fixed}.months thead th:first-child{width:4rem}.months thead th:nth-child(14){width:5rem}
.months thead th:nth-child(15){width:6.5rem}
.months th,.months td{padding:calc(.75*var(--u)) calc(.75*var(--u));border:1px solid var(--page)}
.months thead th{border-bottom-color:var(--rule)}
.months th:first-child{padding-left:0;font-weight:600}
.months .total{font-weight:600}
.months .beside{color:var(--muted)}
.shades{display:flex;flex-wrap:wrap;align-items:center;gap:2px;margin:var(--u) 0 0;font-size:var(--fine)}
.shades span{padding:0 var(--u)}
.shades b{font-weight:400;color:var(--muted);margin:0 var(--u) 0 0}
.shades b:last-child{margin:0 0 0 var(--u)}
.terms{display:grid;grid-template-columns:minmax(0,1fr);gap:var(--u) calc(4*var(--u));margin:var(--u) 0 0;
font-size:var(--fine)}
.two .terms{grid-template-columns:repeat(2,minmax(0,1fr))}
.terms dt{font-weight:600;display:inline}
.terms dd{color:var(--muted);display:inline;margin:0 0 0 .5em}
.terms div:target{background:var(--panel);outline:4px solid var(--panel)}
@media screen and (max-width:68rem){.grid{grid-template-columns:repeat(2,minmax(0,1fr))}.two{grid-column:1/-1}}
@media screen and (max-width:48rem){
main{padding:calc(3*var(--u)) calc(2*var(--u))}
header h1{font-size:1.5rem}
.hero{grid-template-columns:repeat(2,1fr)}
.hero dd{font-size:1.625rem}
.hero div:nth-child(odd){padding-left:0}
.grid{grid-template-columns:minmax(0,1fr);gap:calc(4*var(--u))}
.wide{display:none}.narrow{display:block}
.chart{max-width:32rem}
.two .terms{grid-template-columns:minmax(0,1fr)}
.plain th,.plain td{padding-left:var(--u);font-size:var(--fine)}
.plain th:first-child{padding-left:0}
.plain time{display:inline-block;vertical-align:top;max-width:3.75rem;white-space:normal;overflow-wrap:normal}
.months,.months tbody{display:block}
.months thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.months tr{display:grid;grid-template-columns:repeat(6,1fr);gap:2px;margin-bottom:calc(2*var(--u))}
.months th[scope=row]{grid-column:span 2;order:-3}
.months .total{grid-column:span 2;order:-2}
.months .beside{grid-column:span 2;order:-1}
.months th[scope=row],.months .total,.months .beside{padding:0 0 2px}
.months td,.months th{border:0}
.months td[data-label]{padding:2px 6px;line-height:1.3}
.months td[data-label]::before{content:attr(data-label);display:block;text-align:left;font-size:.6875rem;
font-weight:400}
.months td.total::before,.months td.beside::before{display:inline;color:var(--muted);margin-right:.5em}
}
@media print{
@page{size:A4;margin:12mm}
html{font-size:75%}
main{max-width:none;padding:0}
body{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.grid{grid-template-columns:repeat(2,minmax(0,1fr));gap:2rem 2.5rem;margin-top:2rem}
.grid>*{order:3}.grid>.two,.grid>.all{grid-column:1/-1}
.grid>.stack{order:0}
#numbers{order:1!important;grid-row:span 2}#years,#distribution{order:1!important}#months,#worst{order:2!important}
.chart text{font-size:12px}
section,.hero,tr{break-inside:avoid}
section{display:block}
.term{text-decoration:none}
}
"""


def _variables(which: int) -> str:
    return "".join(f"--{name}:{colours[which]};" for name, colours in PALETTE.items())


def style() -> str:
    """The style sheet as text: light, dark where the reader prefers it, and always light on paper."""
    lengths = "--u:.5rem;--text:.875rem;--fine:.8125rem;"
    font = '--font:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;'
    shades = "".join(f".{name}{{background:var(--{name})}}" for name in PALETTE if name[-1].isdigit())
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(1)}}}}}"
    return f":root{{{_variables(0)}{lengths}{font}}}{dark}{_RULES.strip()}{shades}".replace("\n", "")
