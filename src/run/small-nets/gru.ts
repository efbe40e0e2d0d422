/**
 * A gated recurrent unit on the host in f64, without a way back: for networks that evolution strategies train.
 *
 *   z = sigma(W_z x + U_z h + b_z),  r = sigma(W_r x + U_r h + b_r)
 *   n = tanh(W_n x + r (U_n h + c_n) + b_n),  h <- (1 - z) n + z h
 *
 * Cho et al. 2014, https://arxiv.org/abs/1406.1078, in the form of cuDNN.
 */

/** How many weights one of these sizes has: W (3, units, inputs), U (3, units, units), b (3, units), c_n (units). */
export const gruWeights = (inputs: number, units: number): number => 3 * units * (inputs + units) + 4 * units;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The next state for an input x, (inputs), and a state h, (units). */
export function gruStep(weights: Float64Array, x: ArrayLike<number>, h: Float64Array): Float64Array {
  const [inputs, units] = [x.length, h.length];
  const [recurrent, biases] = [3 * units * inputs, 3 * units * (inputs + units)];
  const dot = (from: number, values: ArrayLike<number>) => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += weights[from + i]! * values[i]!;
    return sum;
  };
  const read = (gate: number, unit: number) =>
    dot((gate * units + unit) * inputs, x) + weights[biases + gate * units + unit]!;
  const held = (gate: number, unit: number) => dot(recurrent + (gate * units + unit) * units, h);
  const next = new Float64Array(units);
  for (let unit = 0; unit < units; unit++) {
    const z = sigmoid(read(0, unit) + held(0, unit));
    const r = sigmoid(read(1, unit) + held(1, unit));
    const n = Math.tanh(read(2, unit) + r * (held(2, unit) + weights[biases + 3 * units + unit]!));
    next[unit] = (1 - z) * n + z * h[unit]!;
  }
  return next;
}
