"use strict";

// What HYPE's page shows when all is answered, and the file it saves.
const hypeResult = (() => {
  const $ = (id) => document.getElementById(id);
  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const form = { share: percent, ms: (value) => `${Math.round(value)} ms` };
  const range = (row) => row.interval.map(form[row.unit]).join(" to ");
  const names = {
    hype_infinity: "HYPE-infinity: your error rate, of which 50% is guessing",
    hype_infinity_fakes: "Generated",
    hype_infinity_reals: "Real",
    hype_time: "HYPE-time: the exposure you need to tell them apart",
  };

  // How the interval of one person is found.
  const intervals = {
    hype_infinity: "Wilson's formula for a share",
    hype_time: "a bootstrap over runs of them",
  };

  const tableRow = (part) => {
    const row = document.createElement("tr");
    const head = row.appendChild(document.createElement("th"));
    head.scope = "row";
    head.textContent = names[part.metric];
    for (const text of [`${part.wrong} of ${part.asked}`, percent(part.value), range(part)]) {
      const cell = row.insertCell();
      cell.className = "numeric";
      cell.textContent = text;
    }
    return row;
  };

  // Staircases as lines across the whole picture, the score as a dashed line.
  const plot = (blocks, score, { low, high }) => {
    const width = Math.max(1, ...blocks.map((block) => block.length - 1));
    const margin = 0.03 * (high - low);
    const line = (points, style) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      element.setAttribute("points", points.map(([x, exposure]) => `${x},${high - exposure}`).join(" "));
      element.setAttribute("style", style);
      return element;
    };
    $("steps").setAttribute("viewBox", `0 ${-margin} ${width} ${high - low + 2 * margin}`);
    $("steps").replaceChildren(
      ...blocks.map((block, i) => line(block.map((exposure, x) => [x, exposure]), `stroke: var(--series-${i % 8 + 1})`)),
      line([[0, score], [width, score]], "stroke: var(--text); stroke-dasharray: 6 4"),
    );
  };

  // `rows` are the score and its parts, where it has any.
  const fill = (session, [total, ...parts], limited) => {
    const who = session.evaluator ? ` by ${session.evaluator}` : "";
    $("summary").textContent = `${session.answers.length} answers${who}. Save them before you leave: they are only in this browser.`;
    $("score-name").textContent = names[total.metric];
    $("score").textContent = form[total.unit](total.value);
    $("score-interval").textContent = `95% interval: ${range(total)}`;
    $("interval-note").textContent = `The interval is of your answers alone, by ${intervals[total.metric]}. It is this `
      + "project's own; the paper gives none for one person.";
    $("part-rows").replaceChildren(...parts.map(tableRow));
    $("parts").hidden = !parts.length;
    $("staircases").hidden = !limited;
    if (limited) plot(hype.exposures(session.answers), total.value, session.study.staircase);
  };

  const save = (session) => {
    const { run, step } = session.study;
    const who = session.evaluator.replace(/[^\p{L}\p{N}]+/gu, "-") || session.session;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(session, null, 1)], { type: "application/json" }));
    link.download = `hype-${run}-${step}-${session.mode}-${who}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  return { fill, save };
})();
