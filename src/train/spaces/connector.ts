/**
 * A connector of two spaces: a pool of small experts that serves both directions, and a gate for each direction that
 * chooses k of them for a row. On the host in f64.
 *
 *   M(z; A -> B) = sum over the chosen e of w_e (z + f_e(z)),   w = softmax of the k largest of G_{A -> B} z
 *
 * f_e is 0 at first, so that all experts begin as the identity. The narrower space is padded with zeros to the width
 * of the wider one. Alt-MoE: Multimodal Alignment via Alternating Optimization of Multi-directional MoE with Unimodal
 * Models, 2024, https://arxiv.org/abs/2409.05929
 */
import { Random } from "../../data/random.ts";
import { Mlp, type NamedTensor, type Pass } from "../../run/small-nets/mlp.ts";
import { Moved } from "../../run/small-nets/trained.ts";

export const DIRECTIONS = ["a_to_b", "b_to_a"] as const;
export type Direction = (typeof DIRECTIONS)[number];

export interface ConnectorForm {
  /** Widths of the spaces A and B. */
  readonly a: number;
  readonly b: number;
  readonly experts: number;
  /** Experts of a row. */
  readonly top: number;
  /** Hidden units of an expert; 0 makes it a matrix. */
  readonly hidden: number;
  readonly lr: number;
  /** Chooses the first weights. */
  readonly seed: number;
}

/** A forward pass, for the way back. */
interface Sent {
  readonly direction: Direction;
  readonly rows: number;
  readonly gate: Pass;
  /** Softmax over all experts, (rows, experts). */
  readonly shares: Float64Array;
  /** Weights of the chosen experts, (rows, experts); 0 elsewhere. */
  readonly weights: Float64Array;
  /** Of each expert: its rows, and what it gives for them. */
  readonly visits: readonly { readonly rows: readonly number[]; readonly pass: Pass; readonly y: Float64Array }[];
  /** (rows, width of the target) */
  readonly output: Float64Array;
}

export class Connector {
  readonly form: ConnectorForm;
  /** Of the wider space: what experts read and give. */
  readonly width: number;
  readonly #experts: readonly Mlp[];
  readonly #gates: Readonly<Record<Direction, Mlp>>;
  readonly #moved: ReadonlyMap<Mlp, Moved>;
  /** Share of the choices that each expert got in the last step of a direction. */
  readonly #loads = new Map<Direction, Float64Array>();

  constructor(form: ConnectorForm) {
    const { experts, hidden, seed } = form;
    this.form = form;
    this.width = Math.max(form.a, form.b);
    const sizes = [this.width, ...(hidden > 0 ? [hidden] : []), this.width];
    this.#experts = Array.from({ length: experts }, (_, e) =>
      Mlp.fresh(sizes, new Random(seed, "connector", "expert", e), 0),
    );
    const gate = (direction: Direction) => {
      const random = new Random(seed, "connector", "gate", direction);
      const made = Mlp.fresh([this.width, experts], random);
      // The biases, too, are drawn: directions begin with experts of their own.
      for (let i = this.width * experts; i < made.weights.length; i++) made.weights[i] = random.normal();
      return made;
    };
    this.#gates = { a_to_b: gate("a_to_b"), b_to_a: gate("b_to_a") };
    const nets = [...this.#experts, this.#gates.a_to_b, this.#gates.b_to_a];
    this.#moved = new Map(nets.map((net) => [net, new Moved(net.weights, form.lr)]));
  }

  /** What rows become in the other space: x is (rows, width of the source), the result (rows, width of the target). */
  map(direction: Direction, x: Float64Array, rows: number): Float64Array {
    return this.send(direction, x, rows).output;
  }

  send(direction: Direction, x: Float64Array, rows: number): Sent {
    const { width, form } = this;
    const { experts } = form;
    const [from, to] = direction === "a_to_b" ? [form.a, form.b] : [form.b, form.a];
    const wide = resized(x, rows, from, width);
    const gate = this.#gates[direction].forward(wide, rows);
    const logits = gate.values.at(-1)!;
    const [shares, weights] = [new Float64Array(rows * experts), new Float64Array(rows * experts)];
    const places: number[][] = Array.from({ length: experts }, () => []);
    for (let row = 0; row < rows; row++) {
      const own = logits.subarray(row * experts, (row + 1) * experts);
      const chosen = [...own.keys()].sort((i, j) => own[j]! - own[i]! || i - j).slice(0, form.top);
      fillSoftmax(own, own.keys(), shares.subarray(row * experts));
      fillSoftmax(own, chosen, weights.subarray(row * experts));
      for (const e of chosen) places[e]!.push(row);
    }
    const sum = new Float64Array(rows * width);
    const visits = places.map((own, e) => {
      const read = gathered(wide, own, width);
      const pass = this.#experts[e]!.forward(read, own.length);
      const y = pass.values.at(-1)!.map((value, i) => value + read[i]!);
      for (const [i, row] of own.entries())
        for (let j = 0; j < width; j++) sum[row * width + j]! += weights[row * experts + e]! * y[i * width + j]!;
      return { rows: own, pass, y };
    });
    return { direction, rows, gate, shares, weights, visits, output: resized(sum, rows, width, to) };
  }

  /**
   * One step against `slopes`, (rows, width of the target), plus `balance` times the term of load
   *
   *   E sum over e of f_e P_e,   f the share of the choices of both directions' last steps, P the mean of the softmax
   *
   * which the gate of this direction alone feels.
   */
  descend(sent: Sent, slopes: Float64Array, balance: number): void {
    for (const [net, gradient] of this.gradients(sent, slopes, balance)) this.#moved.get(net)!.against(gradient);
  }

  /** Gradients of the networks that took part. */
  gradients({ direction, rows, gate, shares, weights, visits }: Sent, slopes: Float64Array, balance: number) {
    const { width, form } = this;
    const { experts, top } = form;
    const wide = resized(slopes, rows, slopes.length / rows, width);
    const found = new Map<Mlp, Float64Array>();
    const byWeight = new Float64Array(rows * experts); // the gradient of each row's weights
    for (const [e, { rows: own, pass, y }] of visits.entries()) {
      if (own.length === 0) continue;
      const above = gathered(wide, own, width);
      for (const [i, row] of own.entries()) {
        const place = row * experts + e;
        for (let j = i * width; j < (i + 1) * width; j++) {
          byWeight[place]! += above[j]! * y[j]!;
          above[j]! *= weights[place]!;
        }
      }
      const net = this.#experts[e]!;
      const into = new Float64Array(net.weights.length);
      net.backward(pass, above, into);
      found.set(net, into);
    }
    this.#loads.set(
      direction,
      Float64Array.from(visits, ({ rows: own }) => own.length / (rows * top)),
    );
    const loads = [...this.#loads.values()];
    const load = Float64Array.from({ length: experts }, (_, e) => loads.reduce((s, f) => s + f[e]!, 0) / loads.length);
    const byLogit = new Float64Array(rows * experts);
    for (let row = 0; row < rows; row++) {
      const at = row * experts;
      let [mean, meanLoad] = [0, 0];
      for (let e = 0; e < experts; e++) {
        mean += weights[at + e]! * byWeight[at + e]!;
        meanLoad += shares[at + e]! * load[e]!;
      }
      for (let e = 0; e < experts; e++)
        byLogit[at + e] =
          weights[at + e]! * (byWeight[at + e]! - mean) +
          ((balance * experts) / rows) * shares[at + e]! * (load[e]! - meanLoad);
    }
    const net = this.#gates[direction];
    const into = new Float64Array(net.weights.length);
    net.backward(gate, byLogit, into);
    return found.set(net, into);
  }

  /** Tensors `experts.E.LAYER.weight`, `gates.DIRECTION.0.weight` and their biases. */
  tensors(): NamedTensor[] {
    return this.#named().flatMap(([name, net]) => net.tensors(name));
  }

  /** Takes the weights of a file. Throws UserError where they are of another form. */
  fill(tensors: ReadonlyMap<string, NamedTensor>, what: string): void {
    for (const [name, net] of this.#named()) net.fill(name, tensors, what);
  }

  #named(): [string, Mlp][] {
    return [
      ...this.#experts.map((net, e): [string, Mlp] => [`experts.${e}`, net]),
      ...DIRECTIONS.map((direction): [string, Mlp] => [`gates.${direction}`, this.#gates[direction]]),
    ];
  }
}

/** Softmax over some of the logits, written to their places. */
function fillSoftmax(logits: Float64Array, chosen: Iterable<number>, into: Float64Array): void {
  const places = [...chosen];
  const most = Math.max(...places.map((e) => logits[e]!));
  const sum = places.reduce((s, e) => s + Math.exp(logits[e]! - most), 0);
  for (const e of places) into[e] = Math.exp(logits[e]! - most) / sum;
}

/** Some rows of x, (rows, width). */
export function gathered(x: Float64Array, rows: ArrayLike<number>, width: number): Float64Array {
  const made = new Float64Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) made.set(x.subarray(rows[i]! * width, (rows[i]! + 1) * width), i * width);
  return made;
}

/** Rows of another width: cut off, or filled up with zeros. */
function resized(x: Float64Array, rows: number, from: number, to: number): Float64Array {
  if (from === to) return x;
  const made = new Float64Array(rows * to);
  for (let row = 0; row < rows; row++) made.set(x.subarray(row * from, row * from + Math.min(from, to)), row * to);
  return made;
}
