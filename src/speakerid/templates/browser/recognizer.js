// Recognizer: voice prints by onnxruntime-web, people enrolled in this browser, and answers.

import * as ort from "./onnxruntime-web/ort.wasm.bundle.min.mjs";
import { centersOf, decoded, encoded, logOdds, probability, score, threshold } from "./scoring.js";
import { samplesOf } from "./sound.js";

const FORMAT = "speakerid people 1", KEY = "speakerid people ";
export const LONGEST = 120; // seconds
const own = (name) => new URL(name, import.meta.url);

/** Voice prints are not kept in the browser's cache, so that those of a forgotten speaker are gone. */
async function fetched(name, cache) {
  const answer = await fetch(own(name), { cache });
  if (!answer.ok) throw new Error(`${name}: cannot be read: ${answer.status} ${answer.statusText}`);
  return answer;
}

export class Recognizer {
  static async load() {
    const profiles = await (await fetched("profiles.json", "no-store")).json();
    const model = await (await fetched("encoder.onnx", "default")).arrayBuffer();
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { wasm: own("onnxruntime-web/ort-wasm-simd-threaded.wasm").href };
    const recognizer = new Recognizer(profiles, await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
    const noise = Float32Array.from({ length: 2 * profiles.sample_rate }, () => Math.random() - 0.5);
    await recognizer.run(noise); // the first run is slow
    return recognizer;
  }

  constructor(profiles, session) {
    this.profiles = profiles;
    this.session = session;
    this.known = profiles.speakers.map((one) => ({ ...one, centers: one.centers.map(decoded) }));
    this.reload();
  }

  /** Voice in the bytes of a file: { print, seconds, took }, the time to compute it in seconds. */
  async listen(bytes) {
    const start = performance.now();
    const { sample_rate: rate, silent, shortest } = this.profiles, samples = await samplesOf(bytes, rate, LONGEST);
    if (!samples.length) throw new Error("holds no samples");
    if (samples.every((x) => Math.abs(x) <= silent)) throw new Error("is silent");
    const { embeddings, seconds } = await this.run(samples);
    const duration = seconds.data[0];
    if (!(duration >= shortest)) throw new Error(`${duration.toFixed(2)} s of sound, expected ${shortest} at least`);
    return { print: Float32Array.from(embeddings.data), seconds: duration, took: (performance.now() - start) / 1000 };
  }

  run(samples) {
    const waveforms = new ort.Tensor("float32", samples, [1, samples.length]);
    const lengths = new ort.Tensor("int64", [BigInt(samples.length)], [1]);
    return this.session.run({ waveforms, lengths }, ["embeddings", "seconds"]);
  }

  /** Who speaks: { name or null, probability, ranking of { name, score, probability }, threshold, seconds }. */
  answer({ print, seconds }, falseAccepts = 0.01, top = 5) {
    const { rule, ranked } = this.profiles;
    const ranking = this.speakers.map((speaker) => ({ name: speaker.name, score: score(print, speaker, this.profiles) }))
      .sort((a, b) => b.score - a.score).slice(0, ranked);
    const odds = logOdds(ranking.map((one) => one.score), seconds, rule), least = threshold(seconds, falseAccepts, rule);
    ranking.forEach((one, index) => { one.probability = probability(odds[index]); });
    const known = odds[0] >= least;
    const others = Math.max(0, 1 - ranking.reduce((sum, one) => sum + one.probability, 0));
    return {
      name: known ? ranking[0].name : null, probability: known ? ranking[0].probability : others,
      ranking: ranking.slice(0, top), threshold: probability(least), seconds,
    };
  }

  get speakers() { return [...this.known, ...this.enrolled]; }

  /** Enroll a person in this browser; a repeated voice print counts once. */
  enroll(name, voices) {
    const prints = [...new Set(voices.map(({ print }) => encoded(print)))];
    if (!prints.length) throw new Error("no recording yet");
    this.check(name);
    this.store([...this.people, { name: name.normalize(), prints }]);
  }

  /** Check a new name, by the rules of speakerid. */
  check(name) {
    const plain = name.normalize("NFKC").toLowerCase();
    if (!name || name !== name.trim() || name.length > 100 || /\p{C}|\p{Zl}|\p{Zp}/u.test(name))
      throw new Error("the name must have 1 to 100 printable characters without blanks at the ends");
    if (/^((unknown|stranger)[ _-]*\d*|no[ _-]?body|silent|broken|too short)$/.test(plain))
      throw new Error(`${name} is what answers use instead of a name`);
    if (this.speakers.some((one) => one.name.normalize() === name.normalize())) throw new Error(`${name} is enrolled already`);
  }

  forget(name) { this.store(this.people.filter((one) => one.name !== name)); }

  /** Delete everyone enrolled in this browser, also under other models. */
  forgetAll() {
    Object.keys(localStorage).filter((key) => key.startsWith(KEY)).forEach((key) => localStorage.removeItem(key));
    this.reload();
  }

  /** Text of a file of all people enrolled in this browser. */
  exported() { return JSON.stringify({ format: FORMAT, encoder: this.profiles.encoder, people: this.people }); }

  /** Add the people of such a file; returns their number. */
  import(text) {
    let file;
    try { file = JSON.parse(text); } catch { throw new Error("is not a file of enrolled people"); }
    if (file?.format !== FORMAT || !Array.isArray(file.people)) throw new Error("is not a file of enrolled people");
    if (file.encoder !== this.profiles.encoder) throw new Error("holds voice prints of another model; enroll again");
    const width = this.profiles.between.length, before = this.people, added = [];
    for (const { name, prints } of file.people) {
      this.check(String(name));
      const fits = (print) => decoded(print).length === width && decoded(print).every(Number.isFinite);
      if (!Array.isArray(prints) || !prints.length || !prints.every(fits)) throw new Error(`${name}: damaged voice prints`);
      added.push({ name: String(name), prints });
    }
    this.store([...before, ...added]);
    return added.length;
  }

  /** Read the people enrolled in this browser, as another tab may have changed them. */
  reload() {
    this.people = JSON.parse(localStorage.getItem(KEY + this.profiles.encoder) ?? "[]");
    this.enrolled = this.people.map(({ name, prints }) =>
      ({ name, clips: prints.length, trained: false, mine: true, centers: centersOf(prints.map(decoded), this.profiles.prior) }));
  }

  store(people) {
    localStorage.setItem(KEY + this.profiles.encoder, JSON.stringify(people));
    this.reload();
  }
}
