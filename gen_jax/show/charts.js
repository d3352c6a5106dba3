// Draws every .plot of the page from the JSON beside it, in the colours of the theme, and again when that changes.
(() => {
  const style = (name) => {
    // What a custom property comes to depends on the theme: an element that uses it knows.
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const faint = (colour) => colour.replace("rgb(", "rgba(").replace(")", ", 0.16)");

  const traces = (data) => data.map((trace) => {
    const colour = style(`--series-${trace.meta}`);
    return {
      ...trace,
      line: { ...trace.line, color: colour },
      marker: { ...trace.marker, color: colour },
      ...(trace.fill ? { fillcolor: faint(colour) } : {}),
    };
  });

  const axis = (given) => ({
    ...given,
    automargin: true,
    gridcolor: style("--line"),
    linecolor: style("--strong-line"),
    tickfont: { color: style("--muted"), size: 12 },
    title: { ...given.title, standoff: 8, font: { color: style("--muted"), size: 12 } },
    zeroline: false,
    nticks: 6,
  });

  const layout = (given) => ({
    ...given,
    autosize: true,
    showlegend: false,
    paper_bgcolor: "rgba(0, 0, 0, 0)",
    plot_bgcolor: "rgba(0, 0, 0, 0)",
    margin: { l: 8, r: 12, t: 8, b: 8 },
    font: { family: getComputedStyle(document.body).fontFamily, color: style("--text"), size: 12 },
    hoverlabel: {
      bgcolor: style("--raised"), bordercolor: style("--strong-line"), namelength: -1,
      font: { color: style("--text"), size: 12 },
    },
    // A finger scrolls the page; a mouse selects what to enlarge.
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: axis(given.xaxis),
    yaxis: axis(given.yaxis),
  });

  const draw = () => {
    for (const plot of document.querySelectorAll(".plot")) {
      const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
      Plotly.react(plot, traces(figure.data), layout(figure.layout), { responsive: true, displayModeBar: false });
    }
  };
  document.addEventListener("themechange", draw);
})();
