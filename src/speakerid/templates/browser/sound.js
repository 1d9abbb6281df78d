// Samples from files and from the microphone.

const CANCELLED = 0.25, STEP = 8, MIN_SAMPLES = 1000, USUAL_RATE = 48000;

/** Mean of the channels, or the loudest one if they cancel each other out; see speakerid's audio/mixing.py. */
export function mixed(channels) {
  if (channels.length < 2) return channels[0];
  const mean = channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
  if (mean.length < MIN_SAMPLES) return mean;
  const powers = [...channels, mean].map((samples) => {
    const some = samples.filter((_, n) => n % STEP === 0);
    const offset = some.reduce((sum, x) => sum + x, 0) / some.length;
    return some.reduce((sum, x) => sum + (x - offset) ** 2, 0) / some.length;
  });
  const left = powers.pop(), unrelated = powers.reduce((sum, power) => sum + power, 0) / channels.length ** 2;
  return left < CANCELLED * unrelated ? channels[powers.indexOf(Math.max(...powers))] : mean;
}

/** Sample rate in the header of a WAV, FLAC, Ogg Vorbis or MP3 file; of other formats the most frequent one. */
export function rateOf(bytes) {
  const view = new DataView(bytes), end = view.byteLength - 64;
  const text = (at, length = 4) => String.fromCharCode(...new Uint8Array(bytes, at, length));
  if (end < 0) return USUAL_RATE;
  if (text(0) === "RIFF") {
    let at = 12;
    while (at < end && text(at) !== "fmt ") at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2);
    return at < end ? view.getUint32(at + 12, true) : USUAL_RATE;
  }
  if (text(0) === "fLaC") return view.getUint32(18) >>> 12;
  if (text(0) === "OggS" && text(29, 6) === "vorbis") return view.getUint32(40, true);
  const size = [6, 7, 8, 9].reduce((sum, at) => 128 * sum + view.getUint8(at), 0), at = text(0, 3) === "ID3" ? 10 + size : 0;
  const [sync, second, third] = at < end ? [0, 1, 2].map((n) => view.getUint8(at + n)) : [];
  const version = (second >> 3) & 3, rate = [44100, 48000, 32000][(third >> 2) & 3];
  return sync === 255 && second >= 224 && version !== 1 && rate ? rate / { 3: 1, 2: 2, 0: 4 }[version] : USUAL_RATE;
}

/** Modified Bessel function of order 0. */
function bessel(x) {
  let sum = 1;
  for (let n = 1, term = 1; term > 1e-12 * sum; n += 1) sum += term *= (x / (2 * n)) ** 2;
  return sum;
}

/** Resample by a sinc under a Kaiser window: like soxr's HQ flat to 0.913 of the lower Nyquist frequency, 125 dB down at it. */
export function resampled(samples, from, to) {
  if (from === to) return samples;
  const cut = 0.9565 * Math.min(1, to / from), half = Math.ceil(94 / Math.min(1, to / from)), filters = new Map();
  const filter = (phase) => Float32Array.from({ length: 2 * half }, (_, n) => {
    const x = n + 1 - half - phase / to, window = bessel(12.82 * Math.sqrt(Math.max(0, 1 - (x / half) ** 2))) / bessel(12.82);
    return window * (x ? Math.sin(Math.PI * cut * x) / (Math.PI * x) : cut);
  });
  return Float32Array.from({ length: Math.round((samples.length * to) / from) }, (_, m) => {
    const phase = (m * from) % to, start = (m * from - phase) / to + 1 - half;
    if (!filters.has(phase)) filters.set(phase, filter(phase));
    const weights = filters.get(phase), first = Math.max(0, -start), last = Math.min(2 * half, samples.length - start);
    let sum = 0;
    for (let n = first; n < last; n += 1) sum += weights[n] * samples[start + n];
    return sum;
  });
}

/** Decode a file at its own sample rate and resample it; browsers resample with images and a loss of high frequencies. */
export async function samplesOf(bytes, sampleRate, longest) {
  const rate = rateOf(bytes);
  const sound = await new Promise((done) => done(new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes)))
    .catch(() => { throw new Error("cannot be decoded by this browser"); });
  if (sound.duration > longest) throw new Error(`is longer than ${longest} s`);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
  return resampled(mixed(channels), rate, sampleRate);
}

/** A 16-bit WAV file of one channel, so that spoken recordings take the same way as files. */
function wav(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const write = (offset, text) => [...text].forEach((letter, n) => view.setUint8(offset + n, letter.charCodeAt(0)));
  write(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true); view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); write(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, n) => view.setInt16(44 + 2 * n, Math.round(32767 * Math.min(Math.max(x, -1), 1)), true));
  return view.buffer;
}

/** Start recording; the result's `stop` returns the bytes of a WAV file. */
export async function record() {
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = new AudioContext(), parts = [];
  await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => parts.push(data);
  context.createMediaStreamSource(stream).connect(node);
  return {
    async stop() {
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      const samples = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      parts.reduce((start, part) => (samples.set(part, start), start + part.length), 0);
      return wav(samples, context.sampleRate);
    },
  };
}
