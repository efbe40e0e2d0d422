/**
 * Searches for the scale of a run of values: several candidates are tried, the one with the least weighted square error
 * stays. The candidates and weights are those of ggml (`make_qx_quants`, `make_qkx2_quants`, `make_q3_quants`; with an
 * importance matrix `make_qkx3_quants` and `make_qp_quants`); sums are in f64, so that single codes may differ from
 * ggml's in f32.
 */

/** The value of largest magnitude of `n` from `from`, with its sign; 0 where all are. */
export function extremeOf(values: Float32Array, from: number, n: number): number {
  let extreme = 0;
  for (let i = from; i < from + n; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
  return extreme;
}

const clamp = (code: number, low: number, high: number): number => Math.max(low, Math.min(high, code));

/**
 * The scale s for w = s q with q from -`middle` to `middle` - 1, errors weighted by `weights` (n) or the square of the
 * value: nineteen scales about the one that gives the extreme value the code -`middle`, each followed by the best scale
 * of its codes.
 */
export function symmetricScale(
  values: Float32Array,
  from: number,
  n: number,
  middle: number,
  weights?: Float64Array,
): number {
  const extreme = extremeOf(values, from, n);
  if (Math.abs(extreme) < 1e-15) return 0;
  let best = 0;
  let scale = 0;
  for (let step = -9; step <= 9; step++) {
    const inverse = -(middle + 0.1 * step) / extreme;
    let valueCode = 0;
    let codeCode = 0;
    for (let i = from; i < from + n; i++) {
      const x = values[i]!;
      const q = clamp(Math.round(inverse * x), -middle, middle - 1);
      const w = weights ? weights[i - from]! : x * x;
      valueCode += w * x * q;
      codeCode += w * q * q;
    }
    if (codeCode > 0 && valueCode * valueCode > best * codeCode) {
      scale = valueCode / codeCode;
      best = scale * valueCode;
    }
  }
  return scale;
}

/**
 * The scale s for w = s q with q from -`middle` to `middle` - 1 for few levels: codes of one scale, then each code is
 * changed as long as that betters the fit, five times at most. Errors are weighted by the square of the value.
 */
export function descendedScale(values: Float32Array, from: number, n: number, middle: number): number {
  const extreme = extremeOf(values, from, n);
  if (Math.abs(extreme) < 1e-15) return 0;
  const codes = new Int8Array(n);
  let valueCode = 0;
  let codeCode = 0;
  for (let i = 0; i < n; i++) {
    const x = values[from + i]!;
    const q = clamp(Math.round((-middle / extreme) * x), -middle, middle - 1);
    codes[i] = q;
    valueCode += x * x * x * q;
    codeCode += x * x * q * q;
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < n; i++) {
      const x = values[from + i]!;
      const q = codes[i]!;
      const others = valueCode - x * x * x * q;
      const squares = codeCode - x * x * q * q;
      if (others <= 0) continue;
      const next = clamp(Math.round((x * squares) / others), -middle, middle - 1);
      const [sum, square] = [others + x * x * x * next, squares + x * x * next * next];
      if (next === q || square <= 0 || sum * sum * codeCode <= valueCode * valueCode * square) continue;
      codes[i] = next;
      valueCode = sum;
      codeCode = square;
      changed = true;
    }
  }
  return codeCode > 0 ? valueCode / codeCode : 0;
}

/**
 * The scale s for values of at least 0, x = s q with q from 0 to `most`: nine scales about that of the largest value,
 * then each code is changed as long as that betters the fit, five times at most. Errors are weighted by `weights`.
 */
export function positiveScale(values: Float64Array, weights: Float64Array, most: number): number {
  const n = values.length;
  const largest = Math.max(...values);
  if (largest < 1e-15) return 0;
  const codes = new Int32Array(n);
  const code = (inverse: number, x: number) => Math.min(most, Math.round(inverse * x));
  let inverse = most / largest;
  let best = Number.POSITIVE_INFINITY;
  for (const step of [0, -4, -3, -2, -1, 1, 2, 3, 4]) {
    const tried = (0.1 * step + most) / largest;
    let error = 0;
    for (let i = 0; i < n; i++) error += weights[i]! * (values[i]! - code(tried, values[i]!) / tried) ** 2;
    if (error >= best) continue;
    best = error;
    inverse = tried;
  }
  let valueCode = 0;
  let codeCode = 0;
  for (let i = 0; i < n; i++) {
    codes[i] = code(inverse, values[i]!);
    valueCode += weights[i]! * values[i]! * codes[i]!;
    codeCode += weights[i]! * codes[i]! * codes[i]!;
  }
  for (let round = 0, changed = true; round < 5 && changed; round++) {
    changed = false;
    for (let i = 0; i < n; i++) {
      const [x, w, q] = [values[i]!, weights[i]!, codes[i]!];
      const [others, squares] = [valueCode - w * x * q, codeCode - w * q * q];
      if (!(others > 0 && squares > 0)) continue;
      const next = Math.min(most, Math.round((x * squares) / others));
      const [sum, square] = [others + w * x * next, squares + w * next * next];
      if (next === q || sum * sum * codeCode <= valueCode * valueCode * square) continue;
      codes[i] = next;
      valueCode = sum;
      codeCode = square;
      changed = true;
    }
  }
  return codeCode > 0 ? valueCode / codeCode : 1 / inverse;
}

/** How many scales are tried for a run, and where they begin. */
export interface RangeSearch {
  /** Largest code. */
  readonly most: number;
  readonly first: number;
  readonly steps: number;
  /** Distance of two scales, in codes; 0.1 when left out. */
  readonly apart?: number;
  /** Errors count by their magnitude, not by their square. */
  readonly absolute?: boolean;
}

/** The values of the run at hand in f64, which is what sums are in. */
const run = new Float64Array(32);

/** What a run is multiplied and lessened by: w = scale q - least. */
export const fit = { scale: 0, least: 0 };

/**
 * Sets `fit` for codes 0 to `most`, least at least 0. Scales about that of the range are tried; for the codes of each,
 * scale and least follow by least squares with `weights` (one for each of the `n` values).
 */
export function fitRange(values: Float32Array, from: number, weights: Float64Array, search: RangeSearch): void {
  const n = weights.length;
  let low = values[from]!;
  let high = low;
  const { most, apart = 0.1 } = search;
  let [all, sum, square] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const x = values[from + i]!;
    run[i] = x;
    const w = weights[i]!;
    if (x < low) low = x;
    if (x > high) high = x;
    all += w;
    sum += w * x;
    square += w * x * x;
  }
  if (low > 0) low = 0;
  fit.scale = 0;
  fit.least = -low;
  if (high === low) return;
  fit.scale = (high - low) / search.most;
  let best = Number.POSITIVE_INFINITY;
  for (let step = -1; step <= search.steps; step++) {
    const inverse = (step < 0 ? search.most : search.first + apart * step + search.most) / (high - low);
    let codes = 0;
    let squares = 0;
    let products = 0;
    const shift = 0.5 - inverse * low;
    for (let i = 0; i < n; i++) {
      const x = run[i]!;
      let q = (inverse * x + shift) | 0;
      if (q < 0) q = 0;
      else if (q > most) q = most;
      const weighted = weights[i]! * q;
      codes += weighted;
      squares += weighted * q;
      products += weighted * x;
    }
    let scale = 1 / inverse;
    let least = low;
    if (step >= 0) {
      const determinant = all * squares - codes * codes;
      if (!(determinant > 0)) continue;
      scale = (all * products - sum * codes) / determinant;
      least = (squares * sum - codes * products) / determinant;
      if (least > 0) {
        least = 0;
        scale = products / squares;
      }
    }
    const error = search.absolute
      ? absoluteError(values, from, weights, { inverse, low, most: search.most, scale, least })
      : scale * (scale * squares + 2 * (least * codes - products)) + least * (least * all - 2 * sum) + square;
    if (error >= best) continue;
    best = error;
    fit.scale = scale;
    fit.least = -least;
    low = least; // the next scales are tried from here
  }
}

function absoluteError(
  values: Float32Array,
  from: number,
  weights: Float64Array,
  tried: { inverse: number; low: number; most: number; scale: number; least: number },
): number {
  let error = 0;
  for (let i = 0; i < weights.length; i++) {
    const x = values[from + i]!;
    const q = clamp((tried.inverse * (x - tried.low) + 0.5) | 0, 0, tried.most);
    error += weights[i]! * Math.abs(tried.scale * q + tried.least - x);
  }
  return error;
}
