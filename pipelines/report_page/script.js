"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const whole = (value) => value.toLocaleString("en");
const PAGE_ROWS = 25;

/** An element; strings among the children become text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function formatBytes(size) {
  for (const unit of ["B", "kB", "MB", "GB", "TB"]) {
    if (Math.abs(size) < 999.5) return `${Number(size.toPrecision(3))} ${unit}`;
    size /= 1000;
  }
  return `${Number(size.toPrecision(3))} PB`;
}

function formatHours(hours) {
  const seconds = Math.round(3600 * hours);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part, place) => (place ? String(part).padStart(2, "0") : whole(part))).join(":");
}

const percent = (share) => `${(100 * share).toFixed(share && share < 0.001 ? 3 : 1)} %`;
const labelName = (text) => text || "(no label)";

/** How well an outcome went: good, warn or bad. */
function rank(outcome) {
  return { written: "good", truncated: "warn" }[outcome] || "bad";
}

/* ---- totals, outcomes, figures: for the chosen view ---- */

function showTotals(view) {
  const bytes = Object.values(view.bytes).reduce((sum, size) => sum + size, 0);
  const work = Object.values(view.stage_seconds).reduce((sum, seconds) => sum + seconds, 0);
  const totals = [
    ["Rows", whole(view.num_rows), ""],
    ["Clips in shards", whole(view.num_clips), `${percent(1 - view.failed_fraction)} of the rows`],
    ["Frames", whole(view.num_frames), `${formatHours(view.hours)} playing time`],
    ["Shards", formatBytes(bytes), view.num_clips ? `${formatBytes(bytes / view.num_clips)} per clip` : ""],
    ["Work", formatHours(work / 3600), view.num_frames ? `${(1000 * work / view.num_frames).toFixed(0)} ms per frame` : ""],
  ];
  if (view.pose) {
    totals.push(["With people", percent(view.pose.coverage), `${view.pose.people_per_frame.toFixed(2)} people per frame`]);
  }
  if (view.flow) {
    totals.push(["Flow at bound", percent(view.flow.saturated_share), `${whole(view.flow.num_saturated_clips)} clips over 1 %`]);
  }
  byId("totals").replaceChildren(...totals.map(([name, value, note]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, note)))));
}

function showOutcomes(view) {
  const rows = Object.entries(view.outcomes).map(([outcome, number]) => {
    const fill = make("i");
    fill.style.width = `${100 * number / view.num_rows}%`;
    const row = make("button", { type: "button", class: `outcome ${rank(outcome)}`, "data-outcome": outcome },
      make("span", { class: "name" }, outcome), make("span", { class: "number" }, whole(number)),
      make("span", { class: "track", "aria-hidden": "true" }, fill),
      make("span", { class: "meaning" }, data.meaning[outcome] || ""));
    row.addEventListener("click", () => {
      byId("outcome").value = byId("outcome").value === outcome ? "" : outcome;
      filterRows();
    });
    return row;
  });
  byId("outcome-list").replaceChildren(...rows);
}

function histogram(chart) {
  const [width, height, bottom, top] = [360, 180, 24, 16];
  const most = Math.max(1, ...chart.counts);
  const step = width / chart.counts.length;
  const isBetween = chart.ticks.length > chart.counts.length;
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${chart.title}: ` + chart.names.map((name, i) => `${name}: ${chart.counts[i]}`).join(", ") });
  svg.append(makeSvg("text", { x: 0, y: 11 }, `most: ${whole(most)} clips`));
  chart.counts.forEach((count, index) => {
    const size = count ? Math.max(1.5, (height - bottom - top) * count / most) : 0;
    const bar = makeSvg("rect", { x: index * step + 1, width: Math.max(1, step - 2), rx: 2,
      y: height - bottom - size, height: size },
      makeSvg("title", {}, `${chart.names[index]} ${chart.unit}: ${whole(count)} clips`));
    svg.append(bar);
  });
  svg.append(makeSvg("line", { x1: 0, x2: width, y1: height - bottom + 0.5, y2: height - bottom + 0.5 }));
  const every = isBetween ? Math.ceil(chart.counts.length / 5) : 1;
  chart.ticks.forEach((tick, index) => {
    if (index % every) return;
    const isLast = isBetween && index === chart.counts.length;
    const x = isBetween ? index * step : (index + 0.5) * step;
    const anchor = !isBetween ? "middle" : index === 0 ? "start" : isLast ? "end" : "middle";
    svg.append(makeSvg("text", { x, y: height - 8, "text-anchor": anchor }, tick));
  });
  return make("div", { class: "chart" }, make("h3", {}, chart.title), make("p", {}, chart.unit), svg);
}

/** Horizontal bars; items are [name, size, text]. */
function bars(title, note, items) {
  const most = Math.max(1e-12, ...items.map((item) => item[1]));
  const list = make("ul", { class: "bars", tabindex: "0", "aria-label": title });
  for (const [name, size, text] of items) {
    const fill = make("i", { "aria-hidden": "true" });
    fill.style.width = `${100 * size / most}%`;
    list.append(make("li", {}, make("span", {}, name), make("span", { class: "number" }, text), fill));
  }
  return make("div", { class: "chart" }, make("h3", {}, title), make("p", {}, note), list);
}

function showFigures(view) {
  const frames = Math.max(1, view.num_frames);
  const stages = Object.entries(view.stage_seconds).map(([stage, seconds]) =>
    [stage, seconds, `${formatHours(seconds / 3600)}, ${(1000 * seconds / frames).toFixed(1)} ms per frame`]);
  const streams = Object.entries(view.bytes).map(([name, size]) => [name, size, formatBytes(size)]);
  const labels = Object.entries(view.labels).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const unused = labels.filter((each) => !each[1]).length;
  byId("charts").replaceChildren(
    bars("Labels", `clips by label; ${whole(labels.length - unused)} labels` + (unused ? `, ${whole(unused)} more without a clip` : ""),
      labels.map(([text, number]) => [labelName(text), number, whole(number)])),
    ...view.charts.map(histogram),
    bars("Work by stage", "hours, minutes, seconds of all clips", stages),
    bars("Bytes by stream", "in the shards; other = keypoints, times, labels", streams));
}

/* ---- rows ---- */

const state = { view: 0, page: 0, found: [] };
const viewOutput = () => (data.outputs.length > 1 ? state.view - 1 : -1);
const searchTexts = data.table.rows.map((row) =>
  [row[3], row[4], row[5], row[6], row[1], data.table.labels[row[2]]].join("\n").toLowerCase());

function fillSelects() {
  const outcomes = [...new Set(data.table.rows.map((row) => row[1]))];
  byId("outcome").replaceChildren(make("option", { value: "" }, "all"),
    ...outcomes.map((outcome) => make("option", { value: outcome }, outcome)));
  byId("label").replaceChildren(make("option", { value: "" }, "all"),
    ...data.table.labels.map((text, index) => make("option", { value: index }, labelName(text))));
}

function filterRows() {
  const [outcome, label] = [byId("outcome").value, byId("label").value];
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const output = viewOutput();
  state.found = data.table.rows.filter((row, index) =>
    (output < 0 || row[0] === output) && (!outcome || row[1] === outcome) &&
    (label === "" || row[2] === Number(label)) && words.every((word) => searchTexts[index].includes(word)));
  for (const button of byId("outcome-list").children) {
    button.setAttribute("aria-pressed", String(button.dataset.outcome === outcome));
  }
  showPage(0);
}

function showPage(page) {
  const pages = Math.max(1, Math.ceil(state.found.length / PAGE_ROWS));
  state.page = Math.min(Math.max(0, page), pages - 1);
  const shown = state.found.slice(state.page * PAGE_ROWS, (state.page + 1) * PAGE_ROWS);
  byId("rows").tBodies[0].replaceChildren(...shown.map(tableRow));
  byId("count").textContent = `${whole(state.found.length)} of ${whole(data.table.rows.length)} rows`;
  byId("place").textContent = `page ${whole(state.page + 1)} of ${whole(pages)}`;
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page === pages - 1;
}

function tableRow([output, outcome, label, clip, detail, path, source, frames]) {
  const where = data.outputs.length > 1 ? `${data.outputs[output].name} · ` : "";
  return make("tr", {},
    make("td", {}, clip, make("small", {}, where + (path || source))),
    make("td", { class: rank(outcome) }, make("span", { class: "name" }, outcome)),
    make("td", { class: "label" }, data.table.labels[label]),
    make("td", {}, ...(detail ? [detail] : []), ...(detail && path ? [make("small", {}, source)] : [])),
    make("td", { class: "number" }, ...(frames ? [whole(frames)] : [])));
}

function showLeftOut() {
  const lost = Object.entries(data.table.left_out);
  if (!lost.length) return;
  const folders = data.outputs.map((output) => `${output.folder}/ledger.parquet`).join(", ");
  byId("left-out").textContent = `This page holds ${whole(data.table.rows.length)} of ${whole(data.table.total)} rows. ` +
    `Left out: ${lost.map(([outcome, number]) => `${whole(number)} ${outcome}`).join(", ")}. All rows are in ${folders}.`;
  byId("left-out").hidden = false;
}

/* ---- hygiene ---- */

function showFindings() {
  if (!data.hygiene.length) {
    const text = data.outputs.length > 1 ? "No video is there under two ids, and none is on both sides of a split." :
      "No video is there under two ids. To look for videos on both sides of a split, name the outputs of all splits.";
    byId("findings").append(make("p", { class: "fine" }, text));
  }
  for (const kind of data.hygiene) {
    const list = make("ul");
    for (const item of kind.items) {
      const names = item.clips.map((clip) => `${clip.split}/${clip.clip_id} (${labelName(clip.label_text)})`);
      const more = item.num_clips - item.clips.length;
      list.append(make("li", {}, names.join(", "), more ? ` and ${whole(more)} more` : "",
        ...(item.has_label_conflict ? [make("strong", {}, " different labels")] : [])));
    }
    const left = kind.total - kind.items.length;
    byId("findings").append(make("article", { class: "finding" },
      make("h3", {}, `${whole(kind.total)} × ${kind.title}`),
      make("p", { class: "soft" }, `${kind.why} ${kind.what_to_do}`), list,
      left ? `${whole(left)} more: perfnet-prep stats --json lists them all.` : ""));
  }
}

/* ---- films ---- */

const wantsCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;

function decodeFile(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
}

/** One video holds all panels side by side; each is painted on a canvas of its own. */
function makeFilm(film) {
  const video = make("video", { playsinline: "", preload: "auto" });
  [video.muted, video.loop] = [true, true];
  const canvases = film.panels.map((name) => make("canvas",
    { width: film.panel_width, height: film.panel_height, class: film.panel_width > film.panel_height ? "wide" : "",
      role: "img", "aria-label": `${name} of ${film.clip_id}` }));
  const button = make("button", { type: "button" }, "Play");
  const slider = make("input", { type: "range", min: 0, max: film.num_frames - 1, step: 1, value: 0, "aria-label": "Frame" });
  const card = make("article", { class: "film" },
    make("h3", {}, labelName(film.label_text)),
    make("span", { class: "soft" }, data.outputs.length > 1 ? `${film.split}/${film.clip_id}` : film.clip_id),
    make("div", { class: "panels" }, ...canvases.map((canvas, index) =>
      make("figure", {}, canvas, make("figcaption", {}, film.panels[index])))),
    make("div", { class: "controls" }, button, slider),
    make("span", { class: "soft" }, film.note));

  function paint() {
    canvases.forEach((canvas, index) => canvas.getContext("2d").drawImage(video,
      index * film.panel_width, 0, film.panel_width, film.panel_height, 0, 0, film.panel_width, film.panel_height));
    if (!video.paused) slider.value = Math.floor(video.currentTime * film.fps);
  }
  function run() {
    paint();
    if (!video.paused) requestAnimationFrame(run);
  }
  let isHeld = wantsCalm;
  video.addEventListener("loadeddata", paint);
  video.addEventListener("seeked", paint);
  video.addEventListener("play", () => { button.textContent = "Pause"; run(); });
  video.addEventListener("pause", () => { button.textContent = "Play"; });
  video.addEventListener("error", () => card.append(
    make("p", { class: "notice" }, "This browser cannot play H.264 video.")));
  button.addEventListener("click", () => {
    isHeld = !video.paused;
    if (video.paused) video.play(); else video.pause();
  });
  slider.addEventListener("input", () => {
    isHeld = true;
    video.pause();
    video.currentTime = (Number(slider.value) + 0.5) / film.fps;
  });
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting && !video.src) video.src = decodeFile(film.mp4);
    if (entry.isIntersecting && !isHeld) video.play().catch(() => {});
    else if (!entry.isIntersecting) video.pause();
  }, { rootMargin: "100px" }).observe(card);
  return card;
}

function showFilms() {
  if (!data.films.length) byId("clips").hidden = true;
  byId("films").append(...data.films.map(makeFilm));
}

/* ---- settings ---- */

function nameValueTable(values) {
  return make("table", {}, make("tbody", {}, ...Object.entries(values).map(([name, value]) =>
    make("tr", {}, make("td", {}, name), make("td", {}, value)))));
}

function showSettings() {
  for (const run of data.settings) {
    byId("runs").append(make("h3", {}, run.name), nameValueTable(run.run),
      make("details", {}, make("summary", {}, "Settings"), nameValueTable(run.config)),
      make("details", {}, make("summary", {}, "Versions"), nameValueTable(run.versions)));
  }
}

function showView(index) {
  state.view = index;
  const view = data.views[index];
  showTotals(view);
  showOutcomes(view);
  showFigures(view);
  filterRows();
}

byId("view").append(...data.views.map((view, index) => make("option", { value: index }, view.name)));
byId("view-label").hidden = data.views.length < 2;
byId("view").addEventListener("change", (event) => showView(Number(event.target.value)));
byId("filters").addEventListener("input", filterRows);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("previous").addEventListener("click", () => showPage(state.page - 1));
byId("next").addEventListener("click", () => showPage(state.page + 1));
fillSelects();
showLeftOut();
showFindings();
showFilms();
showSettings();
showView(0);
