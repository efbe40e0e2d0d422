/** Convolutional networks in float64 over images with channels first, as PyTorch's modules compute them. */

/** Images (B, C, H, W). */
export interface Images {
  readonly shape: readonly [batch: number, channels: number, rows: number, columns: number];
  readonly data: Float64Array;
}
export type Weights = ReadonlyMap<string, Float64Array>;

export const relu = ({ shape, data }: Images): Images => ({ shape, data: data.map((v) => Math.max(0, v)) });

export const plus = (a: Images, b: Images): Images => ({ shape: a.shape, data: a.data.map((v, i) => v + b.data[i]!) });

interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** A value for each channel and window, from what the window holds; undefined beyond the edge. */
function windows(
  { shape: [b, c, h, w], data }: Images,
  { kernel, stride, padding }: Window,
  out: number,
  value: (at: (channel: number, r: number, s: number) => number | undefined, channel: number) => number,
): Images {
  const side = (size: number) => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const [oh, ow] = [side(h), side(w)];
  const found = new Float64Array(b * out * oh * ow);
  for (let image = 0; image < b; image++)
    for (let o = 0; o < out; o++)
      for (let p = 0; p < oh; p++)
        for (let q = 0; q < ow; q++)
          found[((image * out + o) * oh + p) * ow + q] = value((channel, r, s) => {
            const [row, column] = [p * stride + r - padding, q * stride + s - padding];
            const inside = row >= 0 && row < h && column >= 0 && column < w;
            return inside ? data[((image * c + channel) * h + row) * w + column]! : undefined;
          }, o);
  return { shape: [b, out, oh, ow], data: found };
}

export function conv(
  x: Images,
  weights: Weights,
  module: string,
  given: Window & { groups: number; out: number },
): Images {
  const weight = weights.get(`${module}.weight`)!;
  const bias = weights.get(`${module}.bias`);
  const { kernel, groups, out } = given;
  const share = x.shape[1] / groups;
  return windows(x, given, out, (at, o) => {
    let sum = bias?.[o] ?? 0;
    const first = Math.floor(o / (out / groups)) * share;
    for (let k = 0; k < share; k++)
      for (let r = 0; r < kernel; r++)
        for (let s = 0; s < kernel; s++)
          sum += weight[((o * share + k) * kernel + r) * kernel + s]! * (at(first + k, r, s) ?? 0);
    return sum;
  });
}

/** The values of a window of one channel. */
const held = (at: (channel: number, r: number, s: number) => number | undefined, channel: number, kernel: number) =>
  Array.from({ length: kernel * kernel }, (_, i) => at(channel, Math.floor(i / kernel), i % kernel));

export const maxPool = (x: Images, window: Window): Images =>
  windows(x, window, x.shape[1], (at, channel) =>
    Math.max(...held(at, channel, window.kernel).map((v) => v ?? -1e300)),
  );

export const averagePool = (x: Images, window: Window): Images =>
  windows(x, window, x.shape[1], (at, channel) => {
    const all = held(at, channel, window.kernel);
    return all.reduce((sum: number, v) => sum + (v ?? 0), 0) / all.length;
  });

/** Mean and variance of every channel. */
export function statistics({ shape: [b, c, h, w], data }: Images): { mean: number[]; variance: number[] } {
  const of = (channel: number) =>
    Array.from({ length: b * h * w }, (_, i) => data[(Math.floor(i / (h * w)) * c + channel) * h * w + (i % (h * w))]!);
  const channels = Array.from({ length: c }, (_, channel) => of(channel));
  const mean = channels.map((own) => own.reduce((a, v) => a + v, 0) / own.length);
  return { mean, variance: channels.map((own, i) => own.reduce((a, v) => a + (v - mean[i]!) ** 2, 0) / own.length) };
}

/** By running statistics, or with `batch` by those of the images. */
export function norm(x: Images, weights: Weights, module: string, batch = false): Images {
  const { shape, data } = x;
  const [, c, h, w] = shape;
  const of = (name: string) => weights.get(`${module}.${name}`)!;
  const { mean, variance } = batch ? statistics(x) : { mean: of("running_mean"), variance: of("running_var") };
  return {
    shape,
    data: data.map((v, i) => {
      const k = Math.floor(i / (h * w)) % c;
      return ((v - mean[k]!) / Math.sqrt(variance[k]! + 1e-5)) * of("weight")[k]! + of("bias")[k]!;
    }),
  };
}

/** Rows of logits from the mean of every channel, or from all numbers of an image. */
export function head(
  { shape: [b, c, h, w], data }: Images,
  weights: Weights,
  module: string,
  flat = false,
): Float64Array {
  const weight = weights.get(`${module}.weight`)!;
  const bias = weights.get(`${module}.bias`)!;
  const rows = Array.from({ length: b }, (_, image) => {
    const own = data.subarray(image * c * h * w, (image + 1) * c * h * w);
    if (flat) return [...own];
    return Array.from(
      { length: c },
      (_, k) => own.subarray(k * h * w, (k + 1) * h * w).reduce((a, v) => a + v, 0) / (h * w),
    );
  });
  return Float64Array.from(
    rows.flatMap((row) =>
      [...bias].map((start, k) => row.reduce((sum, v, j) => sum + v * weight[k * row.length + j]!, start)),
    ),
  );
}

/** Mean cross-entropy of rows of logits. */
export function crossEntropy(logits: Float64Array, labels: readonly number[]): number {
  const classes = logits.length / labels.length;
  const losses = labels.map((label, i) => {
    const own = logits.subarray(i * classes, (i + 1) * classes);
    const most = Math.max(...own);
    return most + Math.log(own.reduce((sum, z) => sum + Math.exp(z - most), 0)) - own[label]!;
  });
  return losses.reduce((a, v) => a + v, 0) / labels.length;
}
