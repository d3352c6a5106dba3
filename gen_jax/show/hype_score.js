"use strict";

// HYPE's staircase and scores of one person's answers: small pure functions. Sources are in metrics/hype.py, where
// those of the same name give the same numbers, to the bit.
const hype = (() => {
  const RESAMPLES = 10000;
  const Z = 1.959964;

  // The exposure that follows an answer, in milliseconds.
  const next = (staircase, exposure, correct) =>
    Math.min(Math.max(exposure + (correct ? -staircase.down : staircase.up), staircase.low), staircase.high);

  // The 95% interval of a share.
  const wilson = (errors, answers) => {
    const share = errors / answers;
    const scale = Z * Z / answers;
    const centre = share + scale / 2;
    const half = Z * Math.sqrt(share * (1 - share) / answers + scale / (4 * answers));
    return [Math.max(0, (centre - half) / (1 + scale)), Math.min(1, (centre + half) / (1 + scale))];
  };

  // The most frequent value, or the mean of several; counts[i] says how often levels[i] was there.
  const mode = (levels, counts) => {
    let [most, sum, tied] = [0, 0, 0];
    counts.forEach((count, i) => {
      if (count > most) [most, sum, tied] = [count, 0, 0];
      if (count === most) [sum, tied] = [sum + levels[i], tied + 1];
    });
    return sum / tied;
  };

  // The distinct exposures of a block, ascending, and which of them each is.
  const leveled = (exposures) => {
    const levels = [...new Set(exposures)].sort((a, b) => a - b);
    return [levels, exposures.map((exposure) => levels.indexOf(exposure))];
  };

  const modalExposure = (exposures) => {
    const [levels, level] = leveled(exposures);
    const counts = new Array(levels.length).fill(0);
    for (const i of level) counts[i] += 1;
    return mode(levels, counts);
  };

  const hypeTime = (blocks) => blocks.reduce((sum, block) => sum + modalExposure(block), 0) / blocks.length;

  // The k-th random number in [0, 1) of a seed, k from 1 on.
  const uniform = (seed, k) => {
    let bits = (Math.imul(k, 0x9e3779b9) + seed) | 0;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  };

  // Modal exposures of blocks put together from runs of a block's answers.
  const resampledModes = (exposures, seed, resamples) => {
    const count = exposures.length;
    const length = Math.ceil(Math.sqrt(count));
    const runs = Math.ceil(count / length);
    const [levels, level] = leveled(exposures);
    const counts = new Array(levels.length);
    const modes = [];
    for (let resample = 0; resample < resamples; resample += 1) {
      counts.fill(0);
      for (let drawn = 0; drawn < count; drawn += 1) {
        const start = Math.floor(uniform(seed, resample * runs + Math.floor(drawn / length) + 1) * count);
        counts[level[(start + drawn % length) % count]] += 1;
      }
      modes.push(mode(levels, counts));
    }
    return modes;
  };

  // The 95% interval of hypeTime, by a bootstrap over runs of answers.
  const hypeTimeInterval = (blocks, resamples = RESAMPLES) => {
    const sums = new Float64Array(resamples);
    blocks.forEach((exposures, seed) => resampledModes(exposures, seed, resamples).forEach((m, i) => { sums[i] += m; }));
    const ranked = sums.map((sum) => sum / blocks.length).sort();
    const tail = Math.floor(resamples / 40);
    return [ranked[tail], ranked[resamples - 1 - tail]];
  };

  // The share of wrong answers with its interval, of all answers or of those about real (true) or generated images.
  const errors = (answers, kinds) => {
    const asked = answers.filter((answer) => kinds.includes(answer.real));
    const wrong = asked.filter((answer) => answer.real !== answer.said_real).length;
    return { value: wrong / asked.length, interval: wilson(wrong, asked.length), wrong, asked: asked.length };
  };

  // The exposures of each staircase.
  const exposures = (answers) => {
    const blocks = [];
    for (const answer of answers) (blocks[answer.block] ??= []).push(answer.exposure_ms);
    return blocks;
  };

  // HYPE-infinity of answers without a limit of time, with its parts.
  const infinity = (answers) => [
    { metric: "hype_infinity", unit: "share", ...errors(answers, [false, true]) },
    { metric: "hype_infinity_fakes", unit: "share", ...errors(answers, [false]) },
    { metric: "hype_infinity_reals", unit: "share", ...errors(answers, [true]) },
  ];

  // HYPE-time of answers about images that were shown for a limited time.
  const time = (answers) => {
    const blocks = exposures(answers);
    return [{ metric: "hype_time", unit: "ms", value: hypeTime(blocks), interval: hypeTimeInterval(blocks) }];
  };

  return { next, wilson, modalExposure, hypeTime, uniform, hypeTimeInterval, exposures, infinity, time };
})();
