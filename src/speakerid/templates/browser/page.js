// The page: what is asked, enrolled and deleted. All text from users is set as text, never as markup.

import { LONGEST, Recognizer } from "./recognizer.js";
import { record } from "./sound.js";

const MOST_BYTES = 20 * 2 ** 20;
const $ = (id) => document.getElementById(id);
const state = (text) => { $("state").textContent = text; };
const percent = (share) =>
  share > 0 && share < 0.001 ? "under 0.1 %" : share > 0.999 && share < 1 ? "over 99.9 %" : `${(100 * share).toFixed(1)} %`;
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function element(tag, { className = "", ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

let recognizer, asked = null, gathered = [], turn = Promise.resolve();

/** Run work after all earlier work, and report its errors. */
function later(report, work) {
  turn = turn.then(work).catch((error) => report(`${error.message}.`));
  return turn;
}

async function listen(bytes, label) {
  state(`Listening to ${label} …`);
  await new Promise((painted) => setTimeout(painted, 30)); // the model then keeps the thread busy
  try {
    return await recognizer.listen(bytes);
  } catch (error) {
    throw new Error(`${label}: ${error.message}`);
  } finally {
    state("");
  }
}

async function fromFile(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name}: is larger than ${MOST_BYTES / 2 ** 20} MB`);
  return listen(await file.arrayBuffer(), file.name);
}

/** Let a button start and stop a recording, which `use` gets. */
function recorder(button, report, use) {
  let running = null, clock;
  const stop = async () => {
    const [ended] = [running, clearInterval(clock)];
    running = null;
    button.textContent = "Record";
    await use(await ended.stop());
  };
  button.addEventListener("click", () => later(report, async () => {
    if (running) return stop();
    running = await record().catch((error) => { throw new Error(`The microphone cannot be used: ${error.message}`); });
    const start = performance.now();
    const tick = () => {
      const seconds = Math.floor((performance.now() - start) / 1000);
      button.textContent = `Stop (${seconds} s)`;
      if (seconds >= LONGEST - 1 && running) later(report, stop);
    };
    tick();
    clock = setInterval(tick, 250);
  }));
}

function showAnswer() {
  if (!asked) return;
  const { name, probability, ranking, threshold, seconds } = recognizer.answer(asked, $("rate").value / 100);
  const why = name === null ? `${percent(probability)} probable that it is none of the known speakers` : `${percent(probability)} probable`;
  const bars = ranking.map((one) => {
    const fill = element("span", { className: "fill" }), line = element("span", { className: "line" });
    fill.style.width = `${100 * one.probability}%`;
    line.style.left = `${100 * threshold}%`;
    return element("div", { className: one.name === name ? "bar chosen" : "bar" },
      element("span", { className: "name" }, one.name), element("span", { className: "track" }, fill, line),
      element("span", { className: "share" }, percent(one.probability)));
  });
  $("answer").replaceChildren(element("div", { className: "answer" },
    element("p", { className: "said" }, name ?? "Unknown speaker"),
    element("p", { className: "why" }, `${why}; ${seconds.toFixed(1)} s of sound without pauses, computed in ${asked.took.toFixed(2)} s`),
    element("div", { className: "ranking" }, ...bars, element("p", { className: "legend" }, `threshold ${percent(threshold)}`))));
}

function showPeople() {
  const rows = recognizer.speakers.sort((a, b) => !!b.mine - !!a.mine || a.name.localeCompare(b.name)).map(({ name, clips, trained, mine }) => {
    const remove = element("button", { type: "button", className: "stop", textContent: "Delete", ariaLabel: `Delete ${name}` });
    remove.addEventListener("click", () => changed(() => recognizer.forget(name), `${name} is deleted.`));
    const learned = mine ? "in this browser" : trained ? "in training" : "enrolled";
    return element("tr", {}, ...[name, String(clips), learned, mine ? remove : ""].map((cell) => element("td", {}, cell)));
  });
  $("people").replaceChildren(...rows);
}

function showGathered() {
  const seconds = gathered.reduce((sum, voice) => sum + voice.seconds, 0);
  $("gathered").textContent = gathered.length
    ? `${counted(gathered.length, "recording")} so far, ${seconds.toFixed(1)} s of sound.` : "No recording yet.";
}

/** Change the people of this browser, and say what was done. */
function changed(change, text) {
  return later(state, async () => {
    const result = await change();
    state(typeof text === "function" ? text(result) : text);
    showPeople();
    showAnswer();
  });
}

function ask(voice) {
  asked = voice;
  showAnswer();
}

function gather(voice) {
  gathered.push(voice);
  showGathered();
}

function connect() {
  const noAnswer = (text) => { asked = null; $("answer").replaceChildren(element("p", {}, `No speaker can be identified: ${text}`)); };
  const noMore = (text) => { showGathered(); $("gathered").append(` ${text}`); };
  const take = (input, use) => input.addEventListener("change", () => { use([...input.files]); input.value = ""; });
  take($("file"), ([file]) => later(noAnswer, async () => ask(await fromFile(file))));
  take($("files"), (files) => files.forEach((file) => later(noMore, async () => gather(await fromFile(file)))));
  take($("load"), ([file]) => changed(
    async () => recognizer.import(await file.text()), (count) => `${counted(count, "person").replace("persons", "people")} loaded.`));
  recorder($("record"), noAnswer, async (bytes) => ask(await listen(bytes, "the recording")));
  recorder($("record-more"), noMore, async (bytes) => gather(await listen(bytes, "the recording")));
  $("rate").addEventListener("input", () => { $("percent").textContent = `${Number($("rate").value).toFixed(1)} %`; showAnswer(); });
  $("again").addEventListener("click", () => { gathered = []; showGathered(); });
  $("enroll").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = $("name").value.trim();
    changed(() => {
      const like = gathered.map((voice) => recognizer.answer(voice).name).find(Boolean);
      recognizer.enroll(name, gathered);
      [gathered, $("name").value] = [[], ""];
      showGathered();
      return like;
    }, (like) => `${name} is enrolled.${like ? ` Warning: a recording sounds like ${like}; two names for one voice leave both unnamed.` : ""}`);
  });
  $("save").addEventListener("click", () => {
    const link = element("a", { href: URL.createObjectURL(new Blob([recognizer.exported()])), download: "people.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  $("forget-all").addEventListener("click", () => {
    if (confirm("Delete all people enrolled in this browser?")) changed(() => recognizer.forgetAll(), "All enrolled people are deleted.");
  });
  addEventListener("storage", () => changed(() => recognizer.reload(), ""));
}

try {
  recognizer = await Recognizer.load();
  connect();
  showPeople();
  if (!navigator.mediaDevices) ["record", "record-more"].forEach((id) => { $(id).disabled = true; });
  $("controls").disabled = false;
  state(navigator.mediaDevices ? "" : "The microphone needs HTTPS or localhost; files can be used.");
} catch (error) {
  state(`The page cannot start: ${error.message}.`);
}
