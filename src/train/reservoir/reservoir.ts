/**
 * A random recurrent network of which only the readout is trained, and whose inhibition adapts by a local rule until
 * every unit fires at a rate of its own:
 *
 *   x <- (1 - a) x + a f(W_E x - q W_I x + W_in u + b),  f the positive part of tanh
 *   q_i <- max(0, q_i + eta (r_i - rho_i)),  r the running mean of x
 *
 * Four fifths of the units excite. "Boosting Reservoir Computing with Brain-inspired Adaptive Dynamics", 2025, of whose
 * abstract it is a reconstruction: the form of the rule is ours. f64 on the host; weights are rounded to f32, as files
 * hold them.
 */
import { Random } from "../../data/random.ts";

/** Share of units that excite. */
const EXCITING = 0.8;
/** Of the running mean of rates. */
const MEAN = 0.02;

export interface ReservoirSizes {
  readonly units: number;
  readonly inputs: number;
  readonly leak: number;
}

export interface ReservoirOptions extends ReservoirSizes {
  readonly density: number;
  readonly gain: number;
  readonly inhibition: number;
  readonly input_scale: number;
  readonly seed: number;
}

/** Rates that units are brought to, within 0.01 and 0.9, log-normal about a mean. */
export function targetRates(units: number, { rate, spread, seed }: { rate: number; spread: number; seed: number }) {
  const random = new Random(seed, "reservoir rates");
  return Float64Array.from({ length: units }, () => {
    const own = rate * Math.exp(spread * random.normal() - (spread * spread) / 2);
    return Math.min(0.9, Math.max(0.01, own));
  });
}

export class Reservoir {
  readonly sizes: ReservoirSizes;
  /** (N, N), not negative; columns after the exciting units inhibit. */
  readonly weights: Float32Array;
  /** (N, inputs) */
  readonly into: Float32Array;
  /** (N) */
  readonly bias: Float32Array;
  /** (N) q */
  readonly inhibition: Float64Array;
  readonly #exciting: number;
  /** By unit: the units that it hears, and how strongly. */
  readonly #heard: readonly { readonly unit: number; readonly weight: number }[][];
  #state: Float64Array;

  constructor(
    sizes: ReservoirSizes,
    parts: { weights: Float32Array; into: Float32Array; bias: Float32Array; inhibition: ArrayLike<number> },
  ) {
    const { units } = sizes;
    this.sizes = sizes;
    this.weights = parts.weights;
    this.into = parts.into;
    this.bias = parts.bias;
    this.inhibition = Float64Array.from(parts.inhibition);
    this.#exciting = Math.round(EXCITING * units);
    this.#heard = Array.from({ length: units }, (_, i) =>
      Array.from({ length: units }, (_, unit) => ({ unit, weight: this.weights[i * units + unit]! })).filter(
        ({ weight }) => weight > 0,
      ),
    );
    this.#state = new Float64Array(units);
  }

  /** A new one, drawn by the seed. */
  static drawn({
    units,
    inputs,
    leak,
    density,
    gain,
    inhibition,
    input_scale: scale,
    seed,
  }: ReservoirOptions): Reservoir {
    const random = new Random(seed, "reservoir");
    const strength = gain / Math.sqrt(density * units);
    const weights = Float32Array.from({ length: units * units }, () => {
      const there = random.uniform() < density;
      const weight = random.uniform() * strength;
      return there ? weight : 0;
    });
    const into = Float32Array.from({ length: units * inputs }, () => scale * (2 * random.uniform() - 1));
    const bias = Float32Array.from({ length: units }, () => 0.1 * (2 * random.uniform() - 1) + 0.1);
    return new Reservoir(
      { units, inputs, leak },
      { weights, into, bias, inhibition: Array<number>(units).fill(inhibition) },
    );
  }

  /** Begins anew, from zeros. */
  reset(): void {
    this.#state = new Float64Array(this.sizes.units);
  }

  /** Sums of what excites and what inhibits a unit. */
  #drives(unit: number): readonly [exciting: number, inhibiting: number] {
    let [exciting, inhibiting] = [0, 0];
    for (const { unit: other, weight } of this.#heard[unit]!) {
      const own = weight * this.#state[other]!;
      if (other < this.#exciting) exciting += own;
      else inhibiting += own;
    }
    return [exciting, this.inhibition[unit]! * inhibiting];
  }

  /** The state after one more input; of this moment alone. */
  step(input: readonly number[]): Float64Array {
    const { units, inputs, leak } = this.sizes;
    const next = new Float64Array(units);
    for (let i = 0; i < units; i++) {
      const [exciting, inhibiting] = this.#drives(i);
      let sum = exciting - inhibiting + this.bias[i]!;
      for (let k = 0; k < inputs; k++) sum += this.into[i * inputs + k]! * input[k]!;
      next[i] = (1 - leak) * this.#state[i]! + leak * Math.max(0, Math.tanh(sum));
    }
    this.#state = next;
    return next;
  }

  /**
   * Passes over inputs in which inhibition follows rates. With `eta` 0 nothing changes.
   */
  adapt(
    series: readonly (readonly number[])[],
    { eta, passes, rates }: { eta: number; passes: number; rates: Float64Array },
  ): void {
    if (eta === 0) return;
    const running = Float64Array.from(rates);
    this.reset();
    for (let pass = 0; pass < passes; pass++)
      for (const input of series)
        for (const [i, x] of this.step(input).entries()) {
          running[i]! += MEAN * (x - running[i]!);
          this.inhibition[i] = Math.max(0, this.inhibition[i]! + eta * (running[i]! - rates[i]!));
        }
    // As files hold it, so that what is read goes on as this does.
    for (const [i, q] of this.inhibition.entries()) this.inhibition[i] = Math.fround(q);
  }

  /** States of a series from zeros, and what units fired at, and how inhibition stands to excitation. */
  run(series: readonly (readonly number[])[]): { states: Float64Array[]; balance: number } {
    this.reset();
    let [exciting, inhibiting] = [0, 0];
    const states = series.map((input) => {
      for (let i = 0; i < this.sizes.units; i++) {
        const [e, h] = this.#drives(i);
        exciting += e;
        inhibiting += h;
      }
      return this.step(input);
    });
    return { states, balance: exciting + inhibiting === 0 ? 0 : (inhibiting - exciting) / (exciting + inhibiting) };
  }
}
