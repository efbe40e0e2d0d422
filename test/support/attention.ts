/** Attention maps and their distances in float64. */
export interface MapCase {
  readonly batch: number;
  readonly t: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly d: number;
  readonly causal: boolean;
  readonly window?: number;
  /** (B, T): a query sees its own, 0 sees nothing. */
  readonly segments?: Int32Array;
  /** 1 / sqrt(d) when left out. */
  readonly scale?: number;
  /** Scores become cap tanh(score / cap). */
  readonly cap?: number;
}

/** What a query and a key with this inner product score. */
export const exactScore = ({ d, scale = 1 / Math.sqrt(d), cap }: MapCase, product: number): number =>
  cap ? cap * Math.tanh((product * scale) / cap) : product * scale;

/** q (B T, H D), k (B T, Hkv D) -> (B, H, T, T) */
export function exactMaps(given: MapCase, q: ArrayLike<number>, k: ArrayLike<number>): Float64Array {
  const { batch, t, heads, kvHeads, d, causal, window = 0, segments } = given;
  const maps = new Float64Array(batch * heads * t * t);
  for (let row = 0; row < batch * heads * t; row++) {
    const [b, h, query] = [Math.floor(row / (heads * t)), Math.floor(row / t) % heads, row % t];
    const group = Math.floor((h * kvHeads) / heads);
    const seen = Array.from({ length: t }, (_, key) => key).filter((key) => {
      const [own, other] = [segments?.[b * t + query] ?? 1, segments?.[b * t + key] ?? 1];
      return !(causal && key > query) && !(window > 0 && key <= query - window) && own !== 0 && own === other;
    });
    const scores = seen.map((key) => {
      let sum = 0;
      for (let c = 0; c < d; c++)
        sum += q[(b * t + query) * heads * d + h * d + c]! * k[(b * t + key) * kvHeads * d + group * d + c]!;
      return exactScore(given, sum);
    });
    const most = Math.max(...scores);
    const total = scores.reduce((sum, s) => sum + Math.exp(s - most), 0);
    for (const [i, key] of seen.entries()) maps[row * t + key] = Math.exp(scores[i]! - most) / total;
  }
  return maps;
}

/** (B, H, T, T) -> (B, 1, T, T) */
export function exactMean(maps: ArrayLike<number>, batch: number, heads: number): Float64Array {
  const area = maps.length / (batch * heads);
  return Float64Array.from({ length: batch * area }, (_, i) => {
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += maps[(Math.floor(i / area) * heads + h) * area + (i % area)]!;
    return sum / heads;
  });
}

/** Of rows of c. */
export function exactDistance(
  student: ArrayLike<number>,
  teacher: ArrayLike<number>,
  c: number,
  kind: string,
): Float64Array {
  return Float64Array.from({ length: student.length / c }, (_, row) => {
    let sum = 0;
    for (let i = row * c; i < (row + 1) * c; i++) {
      const [q, p] = [student[i]!, teacher[i]!];
      if (kind === "mse") sum += (q - p) ** 2;
      else if (p > 0) sum += p * Math.log(p / q);
    }
    return sum;
  });
}
