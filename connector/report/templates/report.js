"use strict";
(() => {
  const CHUNK = 200;
  const MOST_PRINTED = 2000;
  const NAME = 0, PERSON = 1, UPN = 2, ACCOUNT = 3, ACTION = 4, REASON = 5, DETAIL = 6, SHA = 7, TARGET = 8, PHOTOS = 9, WHOLE = 10, SINCE = 11, RISK = 12, ID = 13;

  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const rows = data.rows;
  const form = document.querySelector(".filters");
  const find = byId("find"), byAction = byId("by-action"), byReason = byId("by-reason");
  const withPhotos = rows.some((row) => row[PHOTOS] !== null);
  const keys = new Array(rows.length);
  const plan = data.plan;
  const byUnit = byId("by-unit");
  const units = plan ? rows.map((row) => unit(row[PERSON])) : [];
  const unticked = new Set();
  const planned = rows.filter((row) => row[RISK] !== undefined).length;
  let chosen = rows.map((_, place) => place);
  let drawn = 0;
  let body = null;
  let sorted = { column: -1, down: false };
  const words = new Intl.Collator("en", { sensitivity: "base", numeric: true });

  const number = (count) => count.toLocaleString("en");
  const people = (count) => (count === 1 ? "1 person" : `${number(count)} people`);
  const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  /* The container of a DN, as Active Directory writes a canonical name: contoso.com/Staff/Berlin (RFC 4514 for the DN). */
  function unit(person) {
    const parts = person.match(/(?:\\.|[^,\\])+/g) || [];
    const value = (part) => part.slice(part.indexOf("=") + 1).replace(/\\(.)/g, "$1").trim();
    const isDomain = (part) => /^\s*dc=/i.test(part);
    if (!parts.length || !parts.slice(1).every((part) => part.includes("="))) return "";
    const above = parts.slice(1);
    return [above.filter(isDomain).map(value).join("."), ...above.filter((part) => !isDomain(part)).reverse().map(value)].join("/");
  }

  /* What can be searched is folded once, when it is first needed. */
  function key(place) {
    if (keys[place] === undefined) {
      const row = rows[place];
      const parts = [row[NAME], row[PERSON], row[UPN], row[ACCOUNT], row[REASON], data.titles[row[REASON]], row[WHOLE] || row[DETAIL], row[SHA]];
      keys[place] = folded(parts.join("\n"));
    }
    return keys[place];
  }

  function choose() {
    const words = folded(find.value).split(/\s+/).filter(Boolean);
    const action = byAction.value, reason = byReason.value;
    chosen = [];
    for (let place = 0; place < rows.length; place += 1) {
      if (action && rows[place][ACTION] !== action) continue;
      if (reason && rows[place][REASON] !== reason) continue;
      if (byUnit && byUnit.value && units[place] !== byUnit.value) continue;
      if (words.length && !words.every((word) => key(place).includes(word))) continue;
      chosen.push(place);
    }
    order();
    redraw();
  }

  /* What a header sorts by is what its column shows. */
  function shownText(row, column) {
    if (column === ACTION) return data.deeds[row[ACTION]] || row[ACTION];
    return column === REASON ? data.titles[row[REASON]] || row[REASON] : row[NAME];
  }

  function order() {
    if (sorted.column < 0) return;
    const turn = sorted.down ? -1 : 1;
    const texts = new Map(chosen.map((place) => [place, shownText(rows[place], sorted.column)]));
    const group = (place) => (plan ? rows[place][RISK] ?? plan.risks.length : 0);
    chosen.sort((one, other) => group(one) - group(other) || turn * words.compare(texts.get(one), texts.get(other)) || words.compare(rows[one][NAME], rows[other][NAME]));
  }

  function sortBy(column) {
    sorted = { column, down: sorted.column === column && !sorted.down };
    order();
    redraw();
    byId("place").querySelector(`button[data-column="${column}"]`).focus();
  }

  function header(title, column) {
    const cell = element("th", column === undefined ? title : "");
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (column === undefined) return cell;
    const isSorted = sorted.column === column;
    cell.setAttribute("aria-sort", isSorted ? (sorted.down ? "descending" : "ascending") : "none");
    const button = element("button", title, `sort${isSorted ? (sorted.down ? " down" : " up") : ""}`);
    button.type = "button";
    button.dataset.column = column;
    button.addEventListener("click", () => sortBy(column));
    cell.append(button);
    return cell;
  }

  function redraw() {
    drawn = 0;
    const place = byId("place");
    place.replaceChildren();
    body = null;
    if (chosen.length) {
      const table = emptyTable();
      body = table.tBodies[0];
      place.append(table);
    } else {
      place.append(element("p", rows.length ? "No matches. Try fewer letters, or show all." : "This run has no users to list.", "dim"));
    }
    draw(CHUNK);
  }

  function emptyTable() {
    const table = element("table", "", plan ? "roster chooser" : "roster");
    table.setAttribute("role", "table");
    table.append(element("caption", "People, what was done, why, and their photos", "hidden"));
    const head = table.createTHead();
    const line = head.insertRow();
    head.setAttribute("role", "rowgroup");
    line.setAttribute("role", "row");
    if (plan) line.append(header("Approve"));
    line.append(header("Person", NAME), header("Action", ACTION), header("Why", REASON));
    if (withPhotos) line.append(header("Photos"));
    table.createTBody().setAttribute("role", "rowgroup");
    return table;
  }

  function draw(amount) {
    const lines = document.createDocumentFragment();
    const end = Math.min(chosen.length, drawn + amount);
    for (; drawn < end; drawn += 1) {
      if (plan && risk(drawn) !== risk(drawn - 1)) lines.append(heading(risk(drawn)));
      lines.append(line(rows[chosen[drawn]], chosen[drawn]));
    }
    if (body) body.append(lines);
    showCount();
  }

  function showCount() {
    const narrowed = chosen.length < rows.length ? ` (of ${number(rows.length)})` : "";
    const partly = drawn < chosen.length ? `, the first ${number(drawn)} shown` : "";
    const missing = data.leftOut ? ` ${people(data.leftOut)} more are only in the CSV and JSON reports.` : "";
    const said = !rows.length ? missing.trim() : `${people(chosen.length)}${narrowed}${partly}.${missing}${data.pictures ? ` ${data.pictures}` : ""}`;
    if (byId("shown").textContent !== said) byId("shown").textContent = said;
    const more = byId("more");
    more.hidden = drawn >= chosen.length;
    more.textContent = `Show ${number(Math.min(CHUNK, chosen.length - drawn))} more`;
  }

  /* Cells say their roles, since a phone lays the table out as blocks, which would take them away. */
  function cell(name, role, className) {
    const made = element(name, "", className);
    made.setAttribute("role", role);
    return made;
  }

  function risk(drawnPlace) {
    return drawnPlace < 0 ? -1 : rows[chosen[drawnPlace]][RISK] ?? plan.risks.length;
  }

  function heading(place) {
    const made = cell("tr", "row", "group");
    const title = cell("td", "cell");
    title.colSpan = withPhotos ? 5 : 4;
    const count = chosen.filter((one) => (rows[one][RISK] ?? plan.risks.length) === place).length;
    title.append(element("strong", plan.risks[place] || "Not in the plan"), " ", element("span", number(count), "number"));
    made.append(title);
    return made;
  }

  function tick(row, place) {
    const made = cell("td", "cell", "tick");
    if (row[RISK] === undefined) return made;
    const label = element("label");
    const box = element("input");
    box.type = "checkbox";
    box.checked = !unticked.has(place);
    box.dataset.place = place;
    box.addEventListener("change", () => {
      if (box.checked) unticked.delete(place);
      else unticked.add(place);
      showTicked();
    });
    label.append(box, element("span", `Approve ${row[NAME]}`, "hidden"));
    made.append(label);
    return made;
  }

  function tickAll(isTicked) {
    for (const place of chosen) {
      if (rows[place][RISK] === undefined) continue;
      if (isTicked) unticked.delete(place);
      else unticked.add(place);
    }
    for (const box of document.querySelectorAll(".tick input")) box.checked = !unticked.has(Number(box.dataset.place));
    showTicked();
  }

  function showTicked() {
    const left = planned - unticked.size;
    byId("ticked").textContent = left === planned ? `All ${number(planned)} are ticked.` : `${number(left)} of ${number(planned)} are ticked.`;
    byId("save").disabled = left === 0 || left === planned;
    const command = left === planned ? plan.command : `${plan.command} --except ${plan.file}`;
    byId("approve").replaceChildren(left ? element("code", command) : element("span", "Nobody is ticked: there is nothing to approve."));
  }

  /* A part of a cell that a spreadsheet would read as a formula gets an apostrophe, as in the CSV report (safe_cell). */
  function csvCell(text) {
    const safe = text.replace(/(^|[;|])([\s"']*[=+\-@\uff1d\uff0b\uff0d\uff20])/g, "$1'$2");
    return `"${safe.replaceAll('"', '""')}"`;
  }

  function save() {
    const lines = [["name", "upn", "person_id", "target"]];
    rows.forEach((row, place) => {
      if (row[RISK] !== undefined && !unticked.has(place)) lines.push([row[NAME], row[UPN], row[ID], row[TARGET]]);
    });
    const text = `\ufeff${lines.map((cells) => cells.map(csvCell).join(",")).join("\r\n")}\r\n`;
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = plan.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  function line(row, place) {
    const made = cell("tr", "row");
    if (plan) made.append(tick(row, place));
    const who = cell("th", "rowheader", "who");
    who.scope = "row";
    who.append(element("strong", row[NAME]));
    if (row[UPN]) who.append(element("span", row[UPN], "dim"));
    if (plan && units[place]) who.append(element("span", units[place], "dim"));
    const what = cell("td", "cell", "what");
    what.append(element("span", data.deeds[row[ACTION]] || row[ACTION], `badge ${row[ACTION]}`));
    made.append(who, what, why(row));
    if (withPhotos) made.append(photos(row));
    return made;
  }

  function why(row) {
    const made = cell("td", "cell", "why");
    made.append(element("span", data.titles[row[REASON]] || row[REASON]));
    if (row[DETAIL]) made.append(element("span", row[DETAIL], "detail"));
    const more = element("details");
    const summary = element("summary", "Facts");
    summary.append(element("span", ` of ${row[NAME]}`, "hidden"));
    more.append(summary);
    more.addEventListener("toggle", () => more.children.length < 2 && more.append(facts(row)));
    made.append(more);
    return made;
  }

  function facts(row) {
    const list = element("dl");
    const known = [
      ["Reason", row[REASON]], ["In the source", row[PERSON] || row[NAME]], ["Account id", row[ACCOUNT]],
      ["Target", row[TARGET]], ["SHA-256 of the source", row[SHA]], ["Pictures", row[WHOLE]], ["Unchanged since", row[SINCE]],
    ];
    for (const [label, value] of known) {
      if (value) list.append(element("dt", label), element("dd", value));
    }
    return list;
  }

  function photos(row) {
    const made = cell("td", "cell", "photos");
    if (row[PHOTOS] === null) return made;
    const [before, after, first, second, noFirst, noSecond] = Array.isArray(row[PHOTOS]) ? row[PHOTOS] : borrowed(row[PHOTOS]);
    const pair = element("div", "", "pair");
    pair.append(shot(before, first, row[NAME], noFirst), shot(after, second, row[NAME], noSecond));
    made.append(pair);
    return made;
  }

  /* The people on the cards have their pictures there; they are not in the file twice. */
  function borrowed(place) {
    const before = byId(`before-${place}`), after = byId(`after-${place}`);
    return [before.src || "", after.src || "", before.dataset.label, after.dataset.label, before.textContent, after.textContent];
  }

  function shot(address, label, name, missing) {
    const made = element("figure", "", "shot");
    if (address) {
      const image = element("img");
      image.src = address;
      image.alt = `${label}: photo of ${name}`;
      made.append(image);
    } else {
      made.append(element("span", missing, "blank"));
    }
    made.append(element("figcaption", label));
    return made;
  }

  function offer(select, title, column, words) {
    const counts = new Map();
    for (const row of rows) counts.set(row[column], (counts.get(row[column]) || 0) + 1);
    select.append(new Option(`${title} (${number(rows.length)})`, ""));
    for (const [value, count] of [...counts].sort((one, other) => other[1] - one[1])) {
      select.append(new Option(`${words[value] || value} (${number(count)})`, value));
    }
  }

  function jump(button) {
    form.reset();
    byAction.value = button.dataset.action;
    byReason.value = button.dataset.reason;
    choose();
    byId("list").scrollIntoView();
    byId("list").focus({ preventScroll: true });
  }

  function offerUnits() {
    const counts = new Map();
    for (const one of units) if (one) counts.set(one, (counts.get(one) || 0) + 1);
    if (counts.size < 2) return;
    byUnit.append(new Option(`Every unit (${number(rows.length)})`, ""));
    for (const [value, count] of [...counts].sort()) byUnit.append(new Option(`${value} (${number(count)})`, value));
    byId("by-unit-field").hidden = false;
  }

  offer(byAction, "Every action", ACTION, data.deeds);
  offer(byReason, "Every reason", REASON, data.titles);
  form.hidden = rows.length === 0;
  if (plan) {
    offerUnits();
    byUnit.addEventListener("change", choose);
    byId("tick").addEventListener("click", () => tickAll(true));
    byId("untick").addEventListener("click", () => tickAll(false));
    byId("save").addEventListener("click", save);
    showTicked();
  }
  let asked = 0;
  find.addEventListener("input", () => {
    clearTimeout(asked);
    asked = setTimeout(choose, 80);
  });
  for (const select of [byAction, byReason]) select.addEventListener("change", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(choose));
  byId("more").addEventListener("click", () => draw(CHUNK));
  for (const button of document.querySelectorAll("button[data-reason]")) {
    button.addEventListener("click", () => jump(button));
  }
  window.addEventListener("beforeprint", () => draw(Math.max(0, MOST_PRINTED - drawn)));
  redraw();
})();
