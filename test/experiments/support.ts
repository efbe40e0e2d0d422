/**
 * What experiments share: seeded random numbers and a small multi-layer perceptron in f64 on the CPU.
 */

/** Uniform numbers in [0, 1): mulberry32. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let h = Math.imul(state ^ (state >>> 15), state | 1);
    h ^= h + Math.imul(h ^ (h >>> 7), h | 61);
    return ((h ^ (h >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers, by Box and Muller. */
export function normal(seed: number): () => number {
  const next = uniform(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

export const randomArray = (n: number, next: () => number, scale = 1): Float64Array =>
  Float64Array.from({ length: n }, () => scale * next());

export interface Example {
  readonly x: Float64Array;
  readonly label: number;
}

/** Weights by name: `layers.i.weight` (out, in) row-major and `layers.i.bias` (out). Tanh between layers. */
export class Mlp {
  readonly sizes: readonly number[];
  readonly weights: Map<string, Float64Array>;

  constructor(sizes: readonly number[], weights: Map<string, Float64Array>) {
    this.sizes = sizes;
    this.weights = weights;
  }

  static random(sizes: readonly number[], seed: number): Mlp {
    const next = normal(seed);
    const weights = new Map<string, Float64Array>();
    for (let i = 0; i + 1 < sizes.length; i++) {
      const [from, to] = [sizes[i]!, sizes[i + 1]!];
      weights.set(`layers.${i}.weight`, randomArray(from * to, next, 1 / Math.sqrt(from)));
      weights.set(`layers.${i}.bias`, new Float64Array(to));
    }
    return new Mlp(sizes, weights);
  }

  clone(): Mlp {
    return new Mlp(this.sizes, new Map([...this.weights].map(([name, values]) => [name, values.slice()])));
  }

  with(weights: ReadonlyMap<string, ArrayLike<number>>): Mlp {
    return new Mlp(this.sizes, new Map([...weights].map(([name, values]) => [name, Float64Array.from(values)])));
  }

  shape(name: string): number[] {
    const layer = Number(name.split(".")[1]);
    return name.endsWith("bias") ? [this.sizes[layer + 1]!] : [this.sizes[layer + 1]!, this.sizes[layer]!];
  }

  /** Activations of every layer, the logits last. */
  forward(x: Float64Array): Float64Array[] {
    const out = [x];
    const layers = this.sizes.length - 1;
    for (let i = 0; i < layers; i++) {
      const w = this.weights.get(`layers.${i}.weight`)!;
      const b = this.weights.get(`layers.${i}.bias`)!;
      const input = out[i]!;
      const next = new Float64Array(b.length);
      for (let o = 0; o < next.length; o++) {
        let sum = b[o]!;
        for (let c = 0; c < input.length; c++) sum += w[o * input.length + c]! * input[c]!;
        next[o] = i + 1 < layers ? Math.tanh(sum) : sum;
      }
      out.push(next);
    }
    return out;
  }

  /** Class probabilities; `allowed` classes only, if given. */
  probabilities(x: Float64Array, allowed?: readonly number[]): Float64Array {
    const logits = this.forward(x).at(-1)!;
    const open = (c: number) => allowed === undefined || allowed.includes(c);
    const most = Math.max(...logits.filter((_, c) => open(c)));
    const p = logits.map((z, c) => (open(c) ? Math.exp(z - most) : 0));
    const total = p.reduce((a, b) => a + b, 0);
    return p.map((value) => value / total);
  }

  /** Adds the gradient of sum_o delta_o logit_o to `into`. */
  backward(x: Float64Array, delta: Float64Array, into: Map<string, Float64Array>): void {
    const acts = this.forward(x);
    let error = delta;
    for (let i = this.sizes.length - 2; i >= 0; i--) {
      const w = this.weights.get(`layers.${i}.weight`)!;
      const input = acts[i]!;
      const gw = into.get(`layers.${i}.weight`)!;
      const gb = into.get(`layers.${i}.bias`)!;
      const before = new Float64Array(input.length);
      for (let o = 0; o < error.length; o++) {
        const e = error[o]!;
        gb[o]! += e;
        for (let c = 0; c < input.length; c++) {
          gw[o * input.length + c]! += e * input[c]!;
          before[c]! += e * w[o * input.length + c]!;
        }
      }
      error = before.map((g, c) => g * (1 - input[c]! ** 2));
    }
  }

  zeros(): Map<string, Float64Array> {
    return new Map([...this.weights].map(([name, values]) => [name, new Float64Array(values.length)]));
  }

  /** SGD on cross-entropy, batches of 16 drawn with replacement. */
  train(
    data: readonly Example[],
    given: { steps: number; lr: number; seed: number; allowed?: readonly number[] },
  ): this {
    const next = uniform(given.seed);
    for (let step = 0; step < given.steps; step++) {
      const gradient = this.zeros();
      for (let b = 0; b < 16; b++) {
        const { x, label } = data[Math.floor(next() * data.length)]!;
        const delta = this.probabilities(x, given.allowed);
        delta[label]! -= 1;
        this.backward(x, delta, gradient);
      }
      for (const [name, g] of gradient) {
        const w = this.weights.get(name)!;
        for (let i = 0; i < w.length; i++) w[i]! -= (given.lr / 16) * g[i]!;
      }
    }
    return this;
  }

  accuracy(data: readonly Example[], allowed?: readonly number[]): number {
    let right = 0;
    for (const { x, label } of data) {
      const p = this.probabilities(x, allowed);
      if (p.indexOf(Math.max(...p)) === label) right++;
    }
    return right / data.length;
  }

  /** Diagonal Fisher information, exact over the classes, one backward pass per class and example. */
  fisher(data: readonly Example[], allowed?: readonly number[]): Map<string, Float64Array> {
    const total = this.zeros();
    for (const { x } of data) {
      const p = this.probabilities(x, allowed);
      for (const [c, share] of p.entries()) {
        if (share === 0) continue;
        const gradient = this.zeros();
        this.backward(
          x,
          p.map((q, o) => (o === c ? 1 : 0) - q),
          gradient,
        );
        for (const [name, g] of gradient) {
          const sum = total.get(name)!;
          for (let i = 0; i < sum.length; i++) sum[i]! += (share * g[i]! ** 2) / data.length;
        }
      }
    }
    return total;
  }
}

/** The tensors of models and their base, for `mergeArrays`. Blocks are numbered by layer. */
export function tensorsOf(base: Mlp, models: readonly Mlp[]) {
  const layers = base.sizes.length - 1;
  return [...base.weights].map(([name, values]) => {
    const layer = Number(name.split(".")[1]);
    return {
      name,
      shape: base.shape(name),
      base: values,
      models: models.map((model) => model.weights.get(name)!),
      layer,
      depth: layers === 1 ? 1 : layer / (layers - 1),
    };
  });
}

/** A classification task: `classes` Gaussian clusters about random centres in `dimensions`. */
export function clusters(classes: number, dimensions: number, seed: number, spread = 0.6) {
  const next = normal(seed);
  const centres = Array.from({ length: classes }, () => randomArray(dimensions, next));
  return (count: number, dataSeed: number, only?: readonly number[]): Example[] => {
    const noise = normal(dataSeed);
    const labels = only ?? centres.map((_, c) => c);
    return Array.from({ length: count }, (_, i) => {
      const label = labels[i % labels.length]!;
      return { x: centres[label]!.map((value) => value + spread * noise()), label };
    });
  };
}
