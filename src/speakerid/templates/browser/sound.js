// Samples from files and from the microphone.

const CANCELLED = 0.25, STEP = 8, MIN_SAMPLES = 1000;

/** Mean of the channels, or the loudest one if they cancel each other out; see speakerid's audio/mixing.py. */
export function mixed(channels) {
  const mean = channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
  if (channels.length < 2 || mean.length < MIN_SAMPLES) return mean;
  const powers = [...channels, mean].map((samples) => {
    const some = samples.filter((_, n) => n % STEP === 0);
    const offset = some.reduce((sum, x) => sum + x, 0) / some.length;
    return some.reduce((sum, x) => sum + (x - offset) ** 2, 0) / some.length;
  });
  const left = powers.pop(), unrelated = powers.reduce((sum, power) => sum + power, 0) / channels.length ** 2;
  return left < CANCELLED * unrelated ? channels[powers.indexOf(Math.max(...powers))] : mean;
}

/** Decode a file and resample it; the browser does both. */
export async function samplesOf(bytes, sampleRate) {
  const context = new OfflineAudioContext(1, 1, sampleRate);
  const sound = await context.decodeAudioData(bytes).catch(() => { throw new Error("cannot be decoded by this browser"); });
  return mixed(Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel)));
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
