// Scores and decisions as in speakerid's modules recognition/{plda,centers,profiles,decision}.py.

const CENTERS = 3, LARGEST_LOG_ODDS = 60;

/** Decode base64 of little-endian float32. */
export function decoded(text) {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

export function encoded(vector) {
  return btoa(String.fromCharCode(...new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)));
}

/** Interpolate linearly, constant beyond the ends. */
function interpolated(x, xs, ys) {
  const right = xs.findIndex((one) => one >= x);
  if (right <= 0) return right ? ys[ys.length - 1] : ys[0];
  return ys[right - 1] + ((x - xs[right - 1]) / (xs[right] - xs[right - 1])) * (ys[right] - ys[right - 1]);
}

function logSum(values) {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

export const probability = (logOdds) => 1 / (1 + Math.exp(-logOdds));

/** Log-likelihood ratio per dimension of a voice print: the best of a speaker's centers. */
export function score(print, { centers, clips }, { within, between, most_clips }) {
  const count = Math.min(clips, most_clips);
  const sums = centers.map(() => 0);
  between.forEach((variance, d) => {
    const gain = variance / (variance + within / count), total = variance + within;
    const left = within + variance * (1 - gain);
    const unknown = print[d] ** 2 / total - Math.log(left / total);
    centers.forEach((center, k) => { sums[k] += 0.5 * (unknown - (print[d] - gain * center[d]) ** 2 / left); });
  });
  return Math.max(...sums) / between.length;
}

/** Log-odds of descending scores, each against all others and a stranger. */
export function logOdds(scores, seconds, rule) {
  const duration = [Math.log(seconds), rule.seconds.map(Math.log)];
  const scale = interpolated(...duration, rule.scale), unknown = interpolated(...duration, rule.unknown);
  const x = scores.map((one) => scale * (one - unknown)), total = logSum([...x, 0]);
  return x.map((one, index) => {
    const share = Math.min(one - total, -1e-15);
    // For the most probable speaker, sum the others instead: 1 - P would be lost to rounding.
    const odds = index ? share - Math.log(-Math.expm1(share)) : one - logSum([...x.slice(1), 0]);
    return Math.min(Math.max(odds, -LARGEST_LOG_ODDS), LARGEST_LOG_ODDS);
  });
}

/** Log-odds from which a name is given. */
export function threshold(seconds, falseAccepts, rule) {
  const atRate = rule.log_odds.map((row) => interpolated(Math.log(falseAccepts), rule.rates.map(Math.log), row));
  return interpolated(Math.log(seconds), rule.seconds.map(Math.log), atRate);
}

const weighted = (a, b) => a.mean.map((x, d) => (a.clips * x + b.clips * b.mean[d]) / (a.clips + b.clips));

/** Three centers of a person's voice prints. More prints are merged in pairs, the closest first (Ward, 1963). */
export function centersOf(prints, prior) {
  const groups = prints.map((print) => ({ mean: [...print], clips: 1 }));
  const all = groups.reduce((a, b) => ({ mean: weighted(a, b), clips: a.clips + b.clips })).mean;
  while (groups.length > CENTERS) {
    let best = [Infinity];
    groups.forEach((a, i) => groups.slice(0, i).forEach((b, j) => {
      const apart = a.mean.reduce((sum, x, d) => sum + (x - b.mean[d]) ** 2, 0);
      const cost = (apart * a.clips * b.clips) / (a.clips + b.clips);
      if (cost < best[0]) best = [cost, i, j];
    }));
    const [, i, j] = best, [a] = groups.splice(i, 1), b = groups[j];
    groups[j] = { mean: weighted(a, b), clips: a.clips + b.clips };
  }
  return Array.from({ length: CENTERS }, (_, k) => groups[k % groups.length]).map(({ mean, clips }) =>
    Float32Array.from(mean, (x, d) => all[d] + (clips / (clips + prior)) * (x - all[d])));
}
