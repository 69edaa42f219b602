// Draws the report's charts from the figures in the page. Every chart's figures also stand in a table.
(() => {
    "use strict";

    const data = JSON.parse(document.getElementById("report-data").textContent);
    const shownAtFirst = 9;
    const labelWidth = 26;
    const colours = 7;
    const symbols = ["circle", "square", "triangle", "diamond", "cross", "star", "wye"];
    const dashes = [null, "6 3", "2 3", "8 3 2 3"];
    const stageNames = ["prefill", "score", "plan", "apply", "question"];
    const stageColours = ["var(--c0)", "var(--c4)", "var(--c3)", "var(--c2)", "var(--c5)"];
    const baseline = data.policies.findIndex(p => p.name === "global" || p.name.startsWith("global:"));

    // The default policy has the first look: a solid line. Colour, dash and marker together repeat after 28 policies.
    const series = data.policies.map((policy, index) => {
        const look = baseline < 0 ? index : index === baseline ? 0 : index < baseline ? index + 1 : index;
        return {
            ...policy,
            index,
            colour: `var(--c${look % colours})`,
            symbol: symbols[(look + Math.floor(look / colours)) % symbols.length],
            dash: dashes[look % dashes.length],
            shown: data.policies.length <= shownAtFirst + 1 || policy.rank < shownAtFirst || index === baseline,
        };
    });
    const shown = () => series.filter(s => s.shown);

    let budget = data.budgets.indexOf(0.8);
    if (budget < 0) {
        budget = Math.floor(data.budgets.length / 2);
    }

    // ------------------------------------------------------------------------------------------------------ parts

    const short = (text, length) => text.length <= length ? text : text.slice(0, length - 1) + "…";
    const two = value => value.toFixed(2);
    const symbolOf = name => d3[`symbol${name[0].toUpperCase()}${name.slice(1)}`];
    const budgetAxis = width => {
        const places = data.byRows ? data.budgets : [0, ...data.budgets];
        const x = data.byRows ? d3.scaleLog(d3.extent(places).reverse(), [0, width]) : d3.scaleLinear([0, Math.max(...places)], [0, width]);
        let last = -Infinity;
        const ticks = places.filter(place => x(place) - last >= labelWidth && (last = x(place), true));
        return { ticks, tickFormat: d => `${d}`, ...(data.byRows
            ? { type: "log", reverse: true, label: "rows kept per layer and KV head →" }
            : { domain: x.domain(), label: "compression ratio →" }) };
    };

    const common = (element, height, more) => ({
        width: Math.max(260, Math.floor(element.clientWidth)),
        height,
        marginTop: 26,
        marginBottom: 40,
        style: { background: "transparent", color: "var(--ink)", fontSize: "12px", fontFamily: "inherit" },
        ...more,
    });

    const draw = (element, options) => element.replaceChildren(Plot.plot(options));

    // A line for each policy over the budgets, from the full cache on where ratios are the axis.
    const lines = (element, { label, height, value, full, domain, digits = 2, band = false, more = {} }) => {
        const wide = element.clientWidth > 500;
        // Later lines lie on top: the default policy's last.
        const visible = shown().sort((a, b) => (a.index === baseline) - (b.index === baseline));
        const points = s => [
            ...(data.byRows || full === null || full === undefined ? [] : [{ x: 0, y: full, s, from: "full cache" }]),
            ...data.budgets.map((x, b) => ({ x, y: value(s, b), s, b, from: data.budgetNames[b] })),
        ].filter(p => p.y !== null && p.y !== undefined);
        const interval = s => data.budgets.map((x, b) => ({ x, a: s.accuracy[b] })).filter(p => p.a);
        const banded = !band ? [] : visible.length <= 2 ? visible : visible.filter(s => s.index === baseline || (baseline < 0 && s.rank === 0));
        const all = visible.flatMap(points);
        draw(element, common(element, height, {
            ariaLabel: label,
            marginLeft: wide ? 50 : 40,
            marginRight: 16,
            x: budgetAxis(element.clientWidth - 66),
            y: { grid: true, domain, label, zero: domain === undefined, nice: domain === undefined },
            marks: [
                ...banded.map(s => Plot.areaY(interval(s), { x: "x", y1: p => p.a[1], y2: p => p.a[2], fill: s.colour, fillOpacity: 0.15 })),
                ...(full === null || full === undefined ? [] : [Plot.ruleY([full], { stroke: "currentColor", strokeDasharray: "1 4", strokeWidth: 1.5 })]),
                ...visible.map(s => Plot.line(points(s), { x: "x", y: "y", stroke: s.colour, strokeWidth: s.index === baseline ? 3 : 1.75, strokeDasharray: s.dash })),
                ...visible.map(s => Plot.dot(points(s).filter(p => p.b !== undefined), { x: "x", y: "y", fill: s.colour, symbol: s.symbol, r: 4, stroke: "var(--paper)", strokeWidth: 0.75 })),
                Plot.tip(all, Plot.pointer({
                    x: "x", y: "y",
                    title: p => `${p.s.name}\n${p.from}: ${p.y.toFixed(digits)}${band && p.b !== undefined && p.s.accuracy[p.b] ? ` (${two(p.s.accuracy[p.b][1])}–${two(p.s.accuracy[p.b][2])})` : ""}`,
                })),
            ],
            ...more,
        }));
    };

    const grid = (element, items, drawItem) => {
        element.replaceChildren();
        for (const item of items) {
            const box = element.appendChild(document.createElement("div"));
            const title = box.appendChild(document.createElement("h3"));
            title.textContent = item.title;
            const plot = box.appendChild(document.createElement("div"));
            plot.className = "plot";
            drawItem(plot, item);
        }
    };

    // ----------------------------------------------------------------------------------------------------- charts

    const fullOf = value => data.full ? value(data.full, 0) : null;
    const perTask = (element, perplexity) => {
        const value = task => (s, b) => s.tasks[b][task];
        grid(element, data.tasks.map((task, i) => ({ title: task.name, task: i, ...task })).filter(t => t.perplexity === perplexity), (plot, item) =>
            lines(plot, {
                label: perplexity ? "perplexity" : "score", height: 210, value: value(item.task), full: fullOf(value(item.task)), domain: perplexity ? undefined : [0, 1],
                more: perplexity ? { y: { grid: true, type: "log", label: "perplexity" } } : {},
            }));
    };

    const charts = {
        accuracy: element => lines(element, {
            label: "accuracy, mean over tasks", height: element.clientWidth > 500 ? 420 : 320, value: (s, b) => s.accuracy[b]?.[0], full: fullOf((s, b) => s.accuracy[b]?.[0]), domain: [0, 1], band: true,
        }),
        tasks: element => perTask(element, false),
        perplexity: element => perTask(element, true),
        memory: element => lines(element, {
            label: "MiB of the context's rows", height: 300, value: (s, b) => s.bytes[b] === null ? null : s.bytes[b] / 1048576, full: fullOf((s, b) => s.bytes[b] / 1048576),
        }),
        speed: element => lines(element, {
            label: "tokens per second, decoding", height: 300, digits: 1, value: (s, b) => s.speed[b], full: fullOf((s, b) => s.speed[b]),
        }),
        stages: element => {
            const visible = [...(data.full ? [data.full] : []), ...shown().sort((a, b) => a.rank - b.rank)];
            const names = element.clientWidth > 500 ? 34 : 16;
            const bars = visible.flatMap(s => stageNames.map((stage, i) => ({ name: s.name, stage, i, seconds: s.stages[i] })));
            const totals = visible.map(s => ({ name: s.name, seconds: s.stages.reduce((a, b) => a + b, 0) }));
            draw(element, common(element, 60 + (26 * visible.length), {
                ariaLabel: "seconds to the first token by policy and stage",
                marginLeft: 10 + (7.2 * Math.max(...visible.map(s => short(s.name, names).length))),
                marginRight: 52,
                x: { grid: true, label: "seconds to the first token →" },
                y: { label: null, domain: visible.map(s => s.name), tickFormat: d => short(d, names) },
                marks: [
                    Plot.barX(bars, { x: "seconds", y: "name", z: "stage", fill: b => stageColours[b.i], insetTop: 2, insetBottom: 2, order: stageNames }),
                    Plot.text(totals, { x: "seconds", y: "name", text: t => t.seconds.toFixed(2), textAnchor: "start", dx: 4, fill: "currentColor" }),
                    Plot.ruleX([0], { stroke: "currentColor" }),
                ],
                color: { type: "identity" },
            }));
        },
        layers: element => grid(element, shown().sort((a, b) => a.rank - b.rank).map(s => ({ title: s.name, s, shares: s.layers[budget] ?? [] })).filter(i => i.shares.length > 0), (plot, { s, shares }) =>
            draw(plot, common(plot, 170, {
                ariaLabel: `rows per layer that ${s.name} keeps at ${data.budgetNames[budget]}`,
                marginLeft: 36,
                x: { label: "layer →", ticks: d3.ticks(0, shares.length - 1, 6).filter(Number.isInteger), tickFormat: d => `${d}`, type: "band", domain: d3.range(shares.length) },
                y: { grid: true, domain: [0, 1], label: "share kept", percent: false, ticks: 5 },
                marks: [
                    Plot.barY(shares.map((share, layer) => ({ share, layer })), { x: "layer", y: "share", fill: s.colour, title: d => `layer ${d.layer}: ${(100 * d.share).toFixed(1)} %` }),
                    Plot.ruleY([0], { stroke: "currentColor" }),
                ],
            }))),
        needles: element => {
            const maps = data.needles.filter(map => map.budget === null || (map.budget === data.budgetNames[budget] && series.some(s => s.shown && s.name === map.policy)));
            const rank = map => map.budget === null ? -1 : series.find(s => s.name === map.policy).rank;
            grid(element, maps.sort((a, b) => rank(a) - rank(b)).map(map => ({ title: map.budget === null ? "full cache" : map.policy, map })), (plot, { map }) => {
                const lengths = [...new Set(data.needles.flatMap(m => m.cells.map(c => c.length)))];
                const depths = [...new Set(data.needles.flatMap(m => m.cells.map(c => c.depth)))].sort((a, b) => a - b);
                draw(plot, common(plot, 48 + (30 * lengths.length), {
                    marginTop: 6,
                    ariaLabel: `scores of ${map.policy} by length and depth`,
                    marginLeft: 12 + (7 * Math.max(...lengths.map(l => short(l, 14).length))),
                    marginRight: 6,
                    padding: 0.05,
                    x: { domain: depths, label: "depth →", tickFormat: d => `${Math.round(d * 100)}` },
                    y: { domain: lengths, label: null, tickFormat: d => short(d, 14) },
                    color: { type: "linear", domain: [0, 1], interpolate: d3.interpolateCividis },
                    marks: [
                        Plot.cell(map.cells, { x: "depth", y: "length", fill: "score", title: c => `length ${c.length}, depth ${c.depth}: ${two(c.score)} (${c.samples} samples)` }),
                        Plot.text(map.cells, { x: "depth", y: "length", text: c => c.score.toFixed(1).replace("0.", "."), fill: c => c.score > 0.55 ? "#000" : "#fff", fontSize: 11 }),
                    ],
                }));
            });
        },
    };

    // --------------------------------------------------------------------------------------------------- controls

    const sample = s => {
        const svg = d3.create("svg").attr("width", 34).attr("height", 14).attr("aria-hidden", "true");
        svg.append("line").attr("x2", 34).attr("y1", 7).attr("y2", 7).attr("stroke", s.colour).attr("stroke-width", 2).attr("stroke-dasharray", s.dash);
        svg.append("path").attr("transform", "translate(17,7)").attr("fill", s.colour).attr("d", d3.symbol(symbolOf(s.symbol), 55)());
        return svg.node();
    };

    const legends = () => {
        for (const legend of document.querySelectorAll("[data-legend=policies]")) {
            legend.replaceChildren(...[...series].sort((a, b) => a.rank - b.rank).map(s => {
                const button = document.createElement("button");
                button.type = "button";
                button.setAttribute("aria-pressed", s.shown);
                button.title = s.shown ? "hide" : "show";
                button.append(sample(s), s.name);
                button.addEventListener("click", () => {
                    s.shown = !s.shown;
                    const place = [...legend.children].indexOf(button);
                    render();
                    legend.children[place].focus();
                });
                return button;
            }));
        }

        for (const legend of document.querySelectorAll("[data-legend=stages]")) {
            legend.replaceChildren(...stageNames.map((stage, i) => {
                const item = document.createElement("span");
                const swatch = item.appendChild(document.createElement("i"));
                swatch.className = "swatch";
                swatch.style.background = stageColours[i];
                item.append(stage);
                return item;
            }));
        }

        for (const ramp of document.querySelectorAll(".ramp")) {
            ramp.style.background = `linear-gradient(to right, ${d3.range(0, 1.01, 0.1).map(d3.interpolateCividis).join(", ")})`;
        }
    };

    const choices = () => {
        for (const select of document.querySelectorAll("select[data-choice=budget]")) {
            select.replaceChildren(...data.budgetNames.map((name, i) => new Option(name, i, false, i === budget)));
            select.addEventListener("change", () => {
                budget = Number(select.value);
                document.querySelectorAll("select[data-choice=budget]").forEach(other => { other.value = select.value; });
                render();
            });
        }
    };

    const render = () => {
        legends();
        for (const element of document.querySelectorAll("[data-chart]")) {
            charts[element.dataset.chart](element);
        }

        for (const element of document.querySelectorAll("[data-budget-name]")) {
            element.textContent = data.budgetNames[budget];
        }
    };

    // Print shows every table but the longest, the screen those that were opened.
    let closed = [];
    addEventListener("beforeprint", () => {
        closed = [...document.querySelectorAll("details:not([open]):not([data-screen])")];
        closed.forEach(details => { details.open = true; });
    });
    addEventListener("afterprint", () => closed.forEach(details => { details.open = false; }));

    let width = innerWidth;
    let waiting = 0;
    addEventListener("resize", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
            if (innerWidth !== width) {
                width = innerWidth;
                render();
            }
        }, 150);
    });

    choices();
    render();
    document.documentElement.dataset.charts = "drawn";
})();
